"""A linear-quadratic problem whose best policy is known: something small to learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

Array = NDArray[np.float64]

TURN = 0.3
A = np.array([[np.cos(TURN), -np.sin(TURN)], [np.sin(TURN), np.cos(TURN)]])
"""Without actions the state goes round for ever."""
B = 0.4 * np.eye(2)
Q, R = np.eye(2), 0.1 * np.eye(2)
START = np.array([0.8, -0.5])


class VectorLQR(VectorEnv[Any, Any, Any]):
    """x' = A x + B u at the cost x'Qx + u'Ru; episodes are cut off after some steps, and end where |x| > bound.

    Who may end an episode may find that worth while: every step costs something.
    """

    def __init__(self, num_envs: int, *, steps: int = 20, spread: float = 0.8, bound: float = np.inf) -> None:
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.num_envs = num_envs
        self.single_observation_space = Box(-np.inf, np.inf, (2,), np.float32)
        self.single_action_space = Box(-1.5, 1.5, (2,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.steps, self.spread, self.bound = steps, spread, bound
        self.seeds: list[int | None] = []
        """Those that it was reset with."""

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Start all episodes at START, or as far around it as spread says."""
        self.seeds.append(seed)
        self.rng = np.random.default_rng(seed)
        self.x = self._drawn(self.num_envs)
        self.done_steps = np.zeros(self.num_envs, np.int64)
        return self.x.astype(np.float32), {}

    def _drawn(self, count: int) -> Array:
        return START + self.spread * self.rng.uniform(-1, 1, (count, 2)) if self.spread else np.tile(START, (count, 1))

    def step(self, actions: Any) -> tuple[Any, Array, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step all; those that end start again at once."""
        assert np.abs(actions).max() <= 1.5
        u = np.asarray(actions, np.float64)
        rewards = -reward_less(self.x, u)
        self.x = self.x @ A.T + u @ B.T
        self.done_steps += 1
        terminated = np.linalg.norm(self.x, axis=1) > self.bound
        truncated = ~terminated & (self.done_steps >= self.steps)
        done, infos = terminated | truncated, {}
        if done.any():
            infos = {"final_obs": self.x.astype(np.float32), "_final_obs": done}
            self.x[done] = self._drawn(int(done.sum()))
            self.done_steps[done] = 0
        return self.x.astype(np.float32), rewards, terminated, truncated, infos


def reward_less(x: Array, u: Array) -> Array:
    """Return what a step costs."""
    return np.asarray(np.einsum("ni,ij,nj->n", x, Q, x) + np.einsum("ni,ij,nj->n", u, R, u))


def best_gain(gamma: float) -> Array:
    """Return K of the best policy u = -K x, by iterating the Riccati equation."""
    p = Q
    for _ in range(1000):
        k = np.linalg.solve(R + gamma * B.T @ p @ B, gamma * B.T @ p @ A)
        p = Q + gamma * A.T @ p @ (A - B @ k)
    return k


def episode_return(act: Callable[[Any], Any], steps: int = 20) -> float:
    """Return the mean return over episodes from a grid of starts."""
    x = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, 7)] * 2), axis=-1).reshape(-1, 2)
    total = 0.0
    for _ in range(steps):
        u = np.asarray(act(x.astype(np.float32)), np.float64)
        total -= float(reward_less(x, u).mean())
        x = x @ A.T + u @ B.T
    return total


def learned(act: Callable[[Any], Any]) -> float:
    """Return how much of the way from doing nothing (0) to the best linear policy (1) a policy is."""
    gain = best_gain(0.99)
    nothing = episode_return(np.zeros_like)
    best = episode_return(lambda x: np.clip(-x @ gain.T, -1.5, 1.5))
    return (episode_return(act) - nothing) / (best - nothing)
