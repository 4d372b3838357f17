"""The benchmark's Pendulum is Gymnasium's, and stable-baselines3 is given the same."""

from __future__ import annotations

import gymnasium
import numpy as np

from rl.collector import layout_of
from tests.performance.pendulum import PeerEnvs, VectorPendulum


def test_every_step_is_gymnasiums() -> None:
    envs = VectorPendulum(4)
    observations, _ = envs.reset(seed=3)
    theirs = [gymnasium.make("Pendulum-v1") for _ in range(4)]
    rng = np.random.default_rng(0)
    for _ in range(2):  # episodes
        for env, angle, speed in zip(theirs, envs.angle, envs.speed, strict=True):
            env.reset(seed=0)
            env.unwrapped.state = np.array([angle, speed])  # type: ignore[attr-defined]
        for step in range(200):
            actions = rng.uniform(-2.5, 2.5, (4, 1)).astype(np.float32)
            observations, rewards, terminated, truncated, infos = envs.step(actions)
            expected = [env.step(action) for env, action in zip(theirs, actions, strict=True)]
            seen = infos["final_obs"] if step == 199 else observations
            np.testing.assert_allclose(seen, [one[0] for one in expected], atol=1e-6)
            np.testing.assert_allclose(rewards, [one[1] for one in expected], rtol=1e-6, atol=1e-9)
            assert terminated.tolist() == [one[2] for one in expected]
            assert truncated.tolist() == [one[3] for one in expected] == [step == 199] * 4
    assert (np.abs(envs.angle) <= np.pi).all()
    assert (np.abs(envs.speed) <= 1).all()
    assert layout_of(envs).width == 3 + 1 + 1 + 3 + 2


def test_the_peer_is_given_the_same() -> None:
    ours, theirs = VectorPendulum(2, steps=3), PeerEnvs(VectorPendulum(2, steps=3), reward_scale=0.5)
    first, _ = ours.reset(seed=1)
    theirs.seed(1)
    np.testing.assert_array_equal(theirs.reset(), first)
    for step in range(4):
        unit = np.array([[-1], [0.25]], np.float32)
        observations, rewards, _, truncated, infos = ours.step(2 * unit)
        found = theirs.step(unit)
        np.testing.assert_array_equal(found[0], observations)
        np.testing.assert_array_equal(found[1], 0.5 * rewards)
        np.testing.assert_array_equal(found[2], truncated)
        if step == 2:
            for n, told in enumerate(found[3]):
                assert told["TimeLimit.truncated"] is True
                np.testing.assert_array_equal(told["terminal_observation"], infos["final_obs"][n])
        else:
            assert found[3] == [{}, {}]
