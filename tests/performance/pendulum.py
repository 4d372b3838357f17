"""Pendulum-v1 in numpy, many at once, and a vectorised environment as stable-baselines3 wants it."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from stable_baselines3.common.vec_env import VecEnv

SPEED, TORQUE, TICK, GRAVITY = 8.0, 2.0, 0.05, 10.0


class VectorPendulum(VectorEnv[Any, Any, Any]):
    """Gymnasium's Pendulum-v1, step for step, with its 200 steps an episode; starts are drawn for all in one go."""

    def __init__(self, num_envs: int, steps: int = 200) -> None:
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.num_envs, self.steps = num_envs, steps
        bound = np.array([1, 1, SPEED], np.float32)
        self.single_observation_space = Box(-bound, bound)
        self.single_action_space = Box(-TORQUE, TORQUE, (1,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.angle, self.speed = np.zeros((2, num_envs))

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Start all episodes anew."""
        if seed is not None or not hasattr(self, "rng"):
            self.rng = np.random.default_rng(seed)
        self.age = 0
        self.angle = self.rng.uniform(-np.pi, np.pi, self.num_envs)
        self.speed = self.rng.uniform(-1, 1, self.num_envs)
        return self._observations(), {}

    def _observations(self) -> Any:
        found = np.empty((self.num_envs, 3), np.float32)
        found[:, 0], found[:, 1], found[:, 2] = np.cos(self.angle), np.sin(self.angle), self.speed
        return found

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all; as all began together, all are cut off together."""
        torque = np.minimum(np.maximum(actions[:, 0], -TORQUE), TORQUE)
        upright = (self.angle + np.pi) % (2 * np.pi) - np.pi
        rewards = -(upright**2 + 0.1 * self.speed**2 + 0.001 * torque**2)
        speed = self.speed + (1.5 * GRAVITY * np.sin(self.angle) + 3 * torque) * TICK
        self.speed = np.minimum(np.maximum(speed, -SPEED), SPEED)
        self.angle = self.angle + self.speed * TICK
        self.age += 1
        observations, infos = self._observations(), {}
        truncated = np.full(self.num_envs, self.age >= self.steps)
        if self.age >= self.steps:
            infos = {"final_obs": observations, "_final_obs": truncated}
            observations, _ = self.reset()
        return observations, rewards, np.zeros(self.num_envs, bool), truncated, infos


class PeerEnvs(VecEnv):
    """Any vectorised environment that resets within the step, for stable-baselines3.

    Actions are in [-1, 1] and scaled to the bounds, as its documentation advises and as our policies have them; rewards
    are multiplied by reward_scale.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], reward_scale: float = 1.0) -> None:
        space: Any = envs.single_action_space
        self.envs, self.reward_scale = envs, reward_scale
        self.low, self.range = space.low, (space.high - space.low) / 2
        super().__init__(envs.num_envs, envs.single_observation_space, Box(-1, 1, space.shape, np.float32))
        self._seed: int | None = None

    def reset(self) -> Any:
        """Start all episodes."""
        return self.envs.reset(seed=self._seed)[0]

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Take the seed of the next reset."""
        self._seed = seed
        return [seed] * self.num_envs

    def step_async(self, actions: Any) -> None:
        """Take the actions."""
        self._actions = self.low + (actions + 1) * self.range

    def step_wait(self) -> Any:
        """Step all, and tell of ends as stable-baselines3 expects it."""
        observations, rewards, terminated, truncated, found = self.envs.step(self._actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        done = terminated | truncated
        if done.any():
            for index in np.flatnonzero(done):
                infos[index] = {
                    "terminal_observation": found["final_obs"][index],
                    "TimeLimit.truncated": bool(truncated[index] and not terminated[index]),
                }
        return observations, rewards * self.reward_scale, done, infos

    def close(self) -> None:
        """Do nothing."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return nothing of the single environments: there are none."""
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Do nothing."""

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Do nothing."""
        return [None] * self.num_envs

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return that nothing is wrapped."""
        return [False] * self.num_envs
