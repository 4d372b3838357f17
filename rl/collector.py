"""Steps a vectorised environment under a policy and writes what happens as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rl.policy import Policy
from rl.rows import Float32, Layout
from streams.errors import ConfigError

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

EXPLORING, RESETTING = 1, 2
"""What a seed is used for: the two draw from streams of their own."""


@dataclass(frozen=True)
class Episode:
    """An episode that ended."""

    reward: float
    """Sum of its rewards, as the environment gave them."""
    steps: int


class Collector:
    """Collects from a Gymnasium VectorEnv that resets an ended episode within the same step (SAME_STEP).

    Its random numbers come from the seed alone. Observations and actions are Box spaces of one dimension. The
    environments are reset when it first collects, and when it was restored.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], seed: int) -> None:
        self.envs = envs
        self.layout = layout_of(envs)
        space: Any = envs.single_action_space
        self.low, self.high = space.low.astype(np.float32), space.high.astype(np.float32)
        self.seed = seed
        self.rng = np.random.default_rng((seed, EXPLORING))
        self.steps = 0
        """Environment steps so far, over all environments."""
        self._observations: Float32 | None = None
        self._rewards = np.zeros(envs.num_envs)
        self._lengths = np.zeros(envs.num_envs, np.int64)

    def collect(self, policy: Policy | None, steps: int) -> tuple[Float32, list[Episode]]:
        """Return rows of shape (steps, environments, width) and the episodes that ended; no policy: uniform actions."""
        columns, ended = self.layout, list[Episode]()
        rows = np.empty((steps, self.envs.num_envs, columns.width), np.float32)
        observations = self._observations if self._observations is not None else self._reset()
        for row in rows:
            # The environment may use the array of its observations again: they are written before it steps.
            row[:, columns.observation] = observations
            drawn, actions = self._draw(policy, np.asarray(observations, np.float32))
            row[:, columns.action] = drawn
            observations, rewards, terminated, truncated, infos = self.envs.step(actions)
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
        self._observations = observations
        self.steps += steps * self.envs.num_envs
        return rows, ended

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, as JSON can hold it; the environments themselves are not part of it."""
        return {"steps": self.steps, "rng": self.rng.bit_generator.state}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a state back; the environments start new episodes, which the seed and the steps so far decide."""
        self.rng.bit_generator.state = state["rng"]
        self.steps = state["steps"]
        self._observations = None

    def _reset(self) -> Float32:
        self._rewards[:], self._lengths[:] = 0, 0
        drawn = np.random.SeedSequence((self.seed, RESETTING, self.steps)).generate_state(1)[0]
        observations: Float32 = self.envs.reset(seed=int(drawn >> 1))[0]
        return observations

    def _draw(self, policy: Policy | None, observations: Float32) -> tuple[Float32, Float32]:
        """Return drawn actions and what the environment gets for them."""
        if policy is not None:
            drawn = policy.explore(observations, self.rng)
            return drawn, policy.bounded(drawn)
        drawn = self.rng.uniform(-1, 1, (self.envs.num_envs, self.layout.action_size)).astype(np.float32)
        return drawn, self.low + (drawn + 1) / 2 * (self.high - self.low)

    def _end(self, done: NDArray[np.bool_]) -> list[Episode]:
        ended = [Episode(float(self._rewards[n]), int(self._lengths[n])) for n in np.flatnonzero(done)]
        self._rewards[done] = 0
        self._lengths[done] = 0
        return ended


def layout_of(envs: VectorEnv[Any, Any, Any]) -> Layout:
    """Return the layout of an environment's rows; raise ConfigError for one that cannot be collected from."""
    from gymnasium.vector import AutoresetMode

    mode = envs.metadata.get("autoreset_mode")
    if mode != AutoresetMode.SAME_STEP:
        raise ConfigError(f"the environment must reset an ended episode within the same step, its mode is {mode}")
    sizes = []
    for name, space in (("observation", envs.single_observation_space), ("action", envs.single_action_space)):
        if space.shape is None or len(space.shape) != 1 or not hasattr(space, "low"):
            raise ConfigError(f"the {name} space must be a Box of one dimension, got {space}")
        sizes.append(space.shape[0])
    bounds: Any = envs.single_action_space
    if not (np.isfinite(bounds.low).all() and np.isfinite(bounds.high).all()):
        raise ConfigError(f"the action space must have bounds, got {bounds}")
    return Layout(*sizes)
