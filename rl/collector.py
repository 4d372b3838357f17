"""Steps a vectorised environment under a policy and writes what happens as rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rl.policy import Policy
from rl.rows import Float32, Layout
from streams.errors import ConfigError

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv


@dataclass(frozen=True)
class Episode:
    """An episode that ended."""

    reward: float
    """Sum of its rewards, as the environment gave them."""
    steps: int


class Collector:
    """Collects from a Gymnasium VectorEnv that resets an ended episode within the same step (SAME_STEP).

    Its random numbers come from the seed alone. Observations and actions are Box spaces of one dimension.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], seed: int) -> None:
        self.envs = envs
        self.layout = layout_of(envs)
        space: Any = envs.single_action_space
        self.low, self.high = space.low.astype(np.float32), space.high.astype(np.float32)
        self.rng = np.random.default_rng(seed)
        self.steps = 0
        """Environment steps so far, over all environments."""
        self._rewards = np.zeros(envs.num_envs)
        self._lengths = np.zeros(envs.num_envs, np.int64)
        observations, _ = envs.reset(seed=int(self.rng.integers(2**31)))
        self._observations = np.asarray(observations, np.float32)

    def collect(self, policy: Policy | None, steps: int) -> tuple[Float32, list[Episode]]:
        """Return rows of shape (steps, environments, width) and the episodes that ended; no policy: uniform actions."""
        columns, ended = self.layout, list[Episode]()
        rows = np.empty((steps, self.envs.num_envs, columns.width), np.float32)
        for row in rows:
            drawn = self._draw(policy)
            observations, rewards, terminated, truncated, infos = self.envs.step(self._bounded(drawn))
            row[:, columns.observation] = self._observations
            row[:, columns.action] = drawn
            row[:, columns.reward] = rewards
            row[:, columns.next_observation] = observations
            row[:, columns.terminated] = terminated
            row[:, columns.truncated] = truncated
            self._rewards += rewards
            self._lengths += 1
            done = terminated | truncated
            if done.any():
                row[done, columns.next_observation] = np.stack(list(infos["final_obs"][done]))
                ended += self._end(done)
            self._observations = np.asarray(observations, np.float32)
        self.steps += steps * self.envs.num_envs
        return rows, ended

    def _draw(self, policy: Policy | None) -> Float32:
        if policy is not None:
            return policy.explore(self._observations, self.rng)
        shape = (self.envs.num_envs, self.layout.action_size)
        return self.rng.uniform(-1, 1, shape).astype(np.float32)

    def _bounded(self, drawn: Float32) -> Float32:
        bounded: Float32 = self.low + (np.clip(drawn, -1, 1) + 1) / 2 * (self.high - self.low)
        return bounded

    def _end(self, done: Any) -> list[Episode]:
        ended = [Episode(float(self._rewards[n]), int(self._lengths[n])) for n in np.flatnonzero(done)]
        self._rewards[done] = 0
        self._lengths[done] = 0
        return ended


def layout_of(envs: VectorEnv[Any, Any, Any]) -> Layout:
    """Return the layout of an environment's rows; raise ConfigError for spaces of another kind."""
    sizes = []
    for name, space in (("observation", envs.single_observation_space), ("action", envs.single_action_space)):
        if space.shape is None or len(space.shape) != 1 or not hasattr(space, "low"):
            raise ConfigError(f"the {name} space must be a Box of one dimension, got {space}")
        sizes.append(space.shape[0])
    return Layout(*sizes)
