"""Collecting: what stands in the rows, and which environments it takes."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rl.collector import Collector, layout_of
from rl.config import RLAlgorithm
from rl.policy import Policy
from streams.errors import ConfigError
from tests.unit.rl.lqr import A, B, VectorLQR


def policy(log_std: float = 0.0) -> Policy:
    weight = np.array([[0.3, -0.2], [0.1, 0.4]], np.float32)
    return Policy(
        algorithm=RLAlgorithm.PPO,
        layers=((weight, np.zeros(2, np.float32)),),
        low=np.full(2, -1.5, np.float32),
        high=np.full(2, 1.5, np.float32),
        head="gaussian",
        log_std=np.full(2, log_std, np.float32),
    )


def parts(collector: Collector, rows: Any) -> tuple[Any, ...]:
    layout = collector.layout
    return (
        rows[:, :, layout.observation],
        rows[:, :, layout.action],
        rows[:, :, layout.next_observation],
        rows[:, :, layout.terminated] > 0,
        rows[:, :, layout.truncated] > 0,
    )


@pytest.mark.parametrize("acting", [None, policy(1.0)])
def test_rows_are_transitions_and_ends_keep_their_own_next_observation(acting: Policy | None) -> None:
    collector = Collector(VectorLQR(5, bound=3), seed=1)
    rows = np.concatenate([collector.collect(acting, 30)[0], collector.collect(acting, 17)[0]])
    observation, action, following, terminated, truncated = parts(collector, rows)
    done = terminated | truncated
    assert terminated.any()
    assert truncated.any()
    applied = np.clip(action, -1, 1) * 1.5
    np.testing.assert_allclose(following, observation @ A.T + applied @ B.T, atol=1e-5)
    np.testing.assert_array_equal(following[:-1][~done[:-1]], observation[1:][~done[:-1]])
    assert not (following[:-1][done[:-1]] == observation[1:][done[:-1]]).any()
    cost = (observation**2).sum(2) + 0.1 * (applied**2).sum(2)
    np.testing.assert_allclose(rows[:, :, collector.layout.reward], -cost, rtol=1e-4, atol=1e-5)
    assert collector.steps == 5 * 47
    assert (np.abs(action) > 1).any() == (acting is not None)  # as they were drawn


def test_episodes_are_those_of_the_rows() -> None:
    collector = Collector(VectorLQR(3, bound=3), seed=2)
    rows, ended = [], []
    for steps in (7, 1, 60):  # an episode may go through several calls
        found, episodes = collector.collect(policy(), steps)
        rows.append(found)
        ended += episodes
    whole = np.concatenate(rows)
    _, _, _, terminated, truncated = parts(collector, whole)
    expected = []
    for step, env in np.argwhere(terminated | truncated):
        before = np.flatnonzero((terminated | truncated)[:step, env])
        start = before[-1] + 1 if len(before) else 0
        expected.append((whole[start : step + 1, env, collector.layout.reward].sum(), step + 1 - start))
    assert len(ended) == len(expected) > 6
    np.testing.assert_allclose([(episode.reward, episode.steps) for episode in ended], expected, rtol=1e-5)


def test_an_environment_may_use_its_array_again() -> None:
    class Reusing(VectorLQR):
        def reset(self, **given: Any) -> Any:
            observations, infos = super().reset(**given)
            self.array = observations
            return observations, infos

        def step(self, actions: Any) -> Any:
            observations, *rest = super().step(actions)
            self.array[:] = observations
            return self.array, *rest

    plain, reusing = Collector(VectorLQR(3, bound=3), seed=1), Collector(Reusing(3, bound=3), seed=1)
    for steps in (1, 25):
        np.testing.assert_array_equal(plain.collect(policy(), steps)[0], reusing.collect(policy(), steps)[0])


def test_a_restored_collector_draws_on_and_starts_other_episodes() -> None:
    first, second = (VectorLQR(2) for _ in range(2))
    one, other = Collector(first, seed=1), Collector(second, seed=1)
    one.collect(policy(), 10)
    other.restore(one.state())
    assert other.steps == 20
    assert one.rng.standard_normal() == other.rng.standard_normal()
    _, ended = other.collect(policy(), 20)
    assert [episode.steps for episode in ended] == [20, 20]
    assert len(first.seeds) == len(second.seeds) == 1
    assert first.seeds != second.seeds


def test_seeds_decide_everything() -> None:
    found = [Collector(VectorLQR(2), seed=seed).collect(policy(), 30)[0] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_gymnasiums_own_vector_environments_are_taken() -> None:
    def make() -> gymnasium.Env[Any, Any]:
        return gymnasium.make("Pendulum-v1", max_episode_steps=4)

    envs = SyncVectorEnv([make] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    collector = Collector(envs, seed=0)
    rows, ended = collector.collect(None, 9)
    layout = collector.layout
    observation, _, following, terminated, truncated = parts(collector, rows)
    assert [episode.steps for episode in ended] == [4] * 4
    assert not terminated.any()
    np.testing.assert_array_equal(np.flatnonzero(truncated[:, 0]), [3, 7])
    np.testing.assert_array_equal(following[:3], observation[1:4])
    assert not (following[3] == observation[4]).all()
    assert rows.shape == (9, 2, layout.width) == (9, 2, 3 + 1 + 1 + 3 + 2)
    envs.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": {"autoreset_mode": AutoresetMode.NEXT_STEP}}, "within the same step"),
        ({"metadata": {}}, "within the same step"),
        ({"single_observation_space": Box(0, 1, (2, 2))}, "observation space must be a Box of one dimension"),
        ({"single_action_space": Discrete(3)}, "action space must be a Box of one dimension"),
        ({"single_action_space": Box(-np.inf, 1, (2,))}, "must have bounds"),
    ],
)
def test_other_environments_are_refused(change: dict[str, Any], message: str) -> None:
    envs = VectorLQR(2)
    for name, value in change.items():
        setattr(envs, name, value)
    with pytest.raises(ConfigError, match=message):
        layout_of(envs)
