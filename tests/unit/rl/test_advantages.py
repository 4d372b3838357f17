"""Generalised advantage estimation, against hands and stable-baselines3."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from stable_baselines3.common.buffers import RolloutBuffer

from rl.advantages import advantages

NO = np.zeros((3, 1), bool)


def column(*values: float) -> Any:
    return np.array(values, np.float32)[:, None]


def flags(*values: int) -> Any:
    return np.array(values, bool)[:, None]


@pytest.mark.parametrize(
    ("terminated", "truncated", "expected"),
    [
        # deltas: 1 + .5 * 4 - 2 = 1; 2 + .5 * 6 - 4 = 1; 3 + .5 * 8 - 6 = 1; each later one counts .5 * .5
        (NO, NO, [1 + 0.25 * (1 + 0.25), 1 + 0.25, 1]),
        # Nothing comes after the second step: 2 - 4 = -2, and the sum stops there.
        (flags(0, 1, 0), NO, [1 + 0.25 * -2, -2, 1]),
        # The second step is cut off: what it led to (6) still counts, what follows does not.
        (NO, flags(0, 1, 0), [1 + 0.25 * 1, 1, 1]),
        # Ended and cut off at once: it has ended.
        (flags(0, 1, 0), flags(0, 1, 0), [1 + 0.25 * -2, -2, 1]),
        (flags(0, 0, 1), NO, [1 + 0.25 * (1 + 0.25 * -3), 1 + 0.25 * -3, -3]),
    ],
)
def test_hand_worked(terminated: Any, truncated: Any, expected: list[float]) -> None:
    found = advantages(
        column(1, 2, 3),
        column(2, 4, 6),
        column(4, 6, 8),
        terminated=terminated,
        truncated=truncated,
        gamma=0.5,
        gae_lambda=0.5,
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, 0], expected)


def test_one_step() -> None:
    one = np.zeros((1, 2), bool)
    found = advantages(np.float32([[1, 2]]), np.float32([[3, 4]]), np.float32([[5, 6]]), terminated=one,
                       truncated=~one, gamma=0.5, gae_lambda=1.0)  # fmt: skip
    np.testing.assert_allclose(found, [[0.5, 1]])


def test_as_stable_baselines3() -> None:
    rng = np.random.default_rng(3)
    steps, envs, gamma, gae_lambda = 40, 5, 0.97, 0.9
    rewards, values, own_next = rng.standard_normal((3, steps, envs)).astype(np.float32)
    terminated = rng.random((steps, envs)) < 0.1
    truncated = ~terminated & (rng.random((steps, envs)) < 0.1)
    done = terminated | truncated
    next_values = np.where(done, own_next, np.roll(values, -1, axis=0))
    next_values[-1] = own_next[-1]

    buffer = RolloutBuffer(steps, Box(-1, 1, (1,)), Box(-1, 1, (1,)), "cpu", gae_lambda, gamma, envs)
    starts = np.zeros(envs, bool)
    for t in range(steps):
        # stable-baselines3 adds the value after a truncated step to its reward, and then ends the episode.
        reward = rewards[t] + np.where(truncated[t], gamma * own_next[t], 0)
        nothing = np.zeros((envs, 1))
        buffer.add(nothing, nothing, reward, starts, torch.from_numpy(values[t]), torch.zeros(envs))
        starts = done[t]
    buffer.compute_returns_and_advantage(torch.from_numpy(next_values[-1]), done[-1])

    found = advantages(
        rewards,
        values,
        next_values,
        terminated=terminated,
        truncated=truncated,
        gamma=gamma,
        gae_lambda=gae_lambda,
    )
    np.testing.assert_allclose(found, buffer.advantages, rtol=1e-5, atol=1e-5)
