"""States, policies and settings of TD3, DDPG and SAC."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rl import precision
from rl.algorithm import make
from rl.config import RLConfiguration
from rl.linear import BFloat16, float32_kernel
from rl.off_policy import ReplayLearner
from rl.replay import Replay, replay_of
from rl.rows import Float32, Layout
from rl.weights import pack, sha256, unpack
from streams.errors import ConfigError, InvalidData
from tests.unit.rl.autograd import network

LAYOUT = Layout(4, 2)
LOW, HIGH = np.array([-1, 0], np.float32), np.array([3, 10], np.float32)
EACH = pytest.mark.parametrize("name", ["TD3", "DDPG", "SAC"])


def drawn_rows(count: int, seed: int = 0) -> Float32:
    rng = np.random.default_rng(seed)
    rows = rng.normal(1, 2, (count, LAYOUT.width)).astype(np.float32)
    rows[:, LAYOUT.action] = rng.uniform(-1, 1, (count, LAYOUT.action_size))
    rows[:, LAYOUT.terminated] = rng.random(count) < 0.1
    rows[:, LAYOUT.truncated] = rng.random(count) < 0.1
    return rows


def learner_of(name: str, **changes: Any) -> tuple[ReplayLearner, Replay]:
    config = RLConfiguration(**{"net_arch": (16, 16), "batch_size": 32, **changes, "algorithm": name})
    learner = make(config, LAYOUT, LOW, HIGH)
    assert isinstance(learner, ReplayLearner)
    replay = replay_of(config, LAYOUT)
    replay.add(drawn_rows(200))
    return learner, replay


def same(one: ReplayLearner, other: ReplayLearner) -> bool:
    """Tell whether two learners are the same to the bit."""
    ours, theirs = one.state(), other.state()
    assert ours.keys() == theirs.keys()
    return all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)


@EACH
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prioritized": True, "normalize_observations": True},
        {"policy_delay": 3},
        {"precision": "auto", "net_arch": (96, 96)},
    ],
)
def test_a_restored_learner_goes_on_to_the_bit(name: str, changes: dict[str, Any]) -> None:
    learner, replay = learner_of(name, **changes)
    learner.update(replay, 100)
    replay.add(drawn_rows(50, seed=1))
    learner.update(replay, 100)
    arrays, told = replay.state()
    kept = pack("test", {**learner.state(), **{f"replay.{key}": array for key, array in arrays.items()}}, told)
    learner.update(replay, 100)

    other, again = learner_of(name, **{**changes, "seed": 9})
    state, told = unpack("test", kept, sha256(kept))
    again.restore({key.removeprefix("replay."): state.pop(key) for key in list(state) if "replay." in key}, told)
    other.restore(state)
    assert not same(other, learner)
    other.update(again, 100)
    assert same(other, learner)
    assert other.updates == 300
    assert other.policy().pack() == learner.policy().pack()


@EACH
def test_a_state_that_does_not_fit_is_refused(name: str) -> None:
    learner, _ = learner_of(name)
    wider, _ = learner_of(name, net_arch=(16, 17))
    with pytest.raises(InvalidData, match="expected torch"):
        learner.restore(wider.state())
    for missing in ("critics.values", "actor_optimiser.steps", "generator", "counts"):
        state = learner.state()
        del state[missing]
        with pytest.raises(InvalidData, match=missing.split(".")[-1]):
            learner.restore(state)
    wrong = learner.state()
    wrong["actor.values"] = wrong["actor.values"].astype(np.float64)
    with pytest.raises(InvalidData, match="float64"):
        learner.restore(wrong)


@EACH
@pytest.mark.parametrize("normal", [False, True])
def test_the_policy_is_the_actor_and_shares_its_weights(name: str, normal: bool) -> None:
    learner, replay = learner_of(name, normalize_observations=normal, learning_rate=0.01)
    learner.update(replay, 20)
    live, kept = learner.policy(), learner.policy().copy()
    observations = drawn_rows(10, seed=2)[:, LAYOUT.observation]
    before = live.act(observations)
    seen = observations
    if normal:
        held = replay.rows[:, LAYOUT.observation].astype(np.float64)
        seen = np.clip((observations - held.mean(0)) / held.std(0), -10, 10).astype(np.float32)
    outputs = LAYOUT.action_size * (2 if name == "SAC" else 1)
    plain = network((4, 16, 16, outputs), learner.state()["actor.values"])
    with torch.no_grad():
        unit = plain(torch.from_numpy(seen).double())[:, :2].tanh().numpy()
    np.testing.assert_allclose(before, LOW + (unit + 1) / 2 * (HIGH - LOW), rtol=1e-4, atol=1e-4)
    learner.update(replay, 20)
    assert not np.allclose(live.act(observations), before)
    assert kept.act(observations).tobytes() == before.tobytes()
    assert learner.policy().act(observations).tobytes() == live.act(observations).tobytes()


@EACH
def test_values_are_those_of_the_critics_at_the_best_action(name: str) -> None:
    learner, replay = learner_of(name)
    learner.update(replay, 10)
    observations = drawn_rows(7, seed=2)[:, LAYOUT.observation]
    unit = (learner.policy().act(observations) - LOW) / (HIGH - LOW) * 2 - 1
    state, count = learner.state(), 1 if name == "DDPG" else 2
    critics = [network((6, 16, 16, 1), part) for part in np.split(state["critics.values"], count)]
    inputs = torch.from_numpy(np.concatenate([observations, unit], 1)).double()
    with torch.no_grad():
        expected = torch.cat([critic(inputs) for critic in critics], 1).min(1).values.numpy()
    found = learner.values(observations)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@EACH
def test_a_terminated_step_has_no_value_after_it_and_a_truncated_one_has(name: str) -> None:
    def after(column: int, flag: float) -> ReplayLearner:
        learner, _ = learner_of(name)
        rows = drawn_rows(200)
        rows[:, LAYOUT.terminated :] = 0
        rows[:, column] = flag
        replay = replay_of(learner.config, LAYOUT)
        replay.add(rows)
        learner.update(replay, 4)
        return learner

    plain = after(LAYOUT.truncated, 0)
    assert same(plain, after(LAYOUT.truncated, 1))
    assert not same(plain, after(LAYOUT.terminated, 1))


@EACH
def test_weights_start_as_those_of_torch(name: str) -> None:
    learner, _ = learner_of(name, net_arch=(64, 400))
    drawn = [layer for critic in learner.critics.members for layer in critic.layers] + learner.actor.members[0].layers
    for layer in drawn:
        bound = len(layer.weight) ** -0.5
        for part in (layer.weight, layer.bias):
            assert part.abs().max() <= bound
            if part.numel() > 50:
                assert part.abs().max() > 0.9 * bound
                assert abs(float(part.mean())) < 0.2 * bound
    assert torch.equal(learner.critics.values, learner.critic_targets.values)
    if name != "DDPG":
        first, second = learner.critics.members
        assert not torch.equal(first.layers[0].weight, second.layers[0].weight)


def test_steps_one_by_one_are_steps_at_once() -> None:
    one, first = learner_of("TD3")
    many, second = learner_of("TD3")
    for _ in range(10):
        one.update(first, 1)
    figures = many.update(second, 10)
    assert same(one, many)
    assert figures.keys() >= {"critic_loss", "q_mean", "q_max", "reward_max", "grad_norm", "actor_loss"}


def test_a_device_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(ConfigError, match="cuda:1"):
        learner_of("TD3", device="cuda:1")


def test_a_state_from_another_kind_of_device_goes_on_with_random_numbers_of_its_own() -> None:
    learner, replay = learner_of("SAC")
    learner.update(replay, 3)
    foreign = {**learner.state(), "generator": np.zeros(16, np.uint8)}  # as long as CUDA's
    one, first = learner_of("SAC", seed=4)
    other, second = learner_of("SAC", seed=4)
    for each, held in ((one, first), (other, second)):
        each.restore(foreign)
        each.update(held, 2)
    assert same(one, other)


@EACH
def test_precision_auto_computes_by_the_faster_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_faster", lambda full: BFloat16)
    exact, first = learner_of(name, net_arch=(96, 96))
    rough, second = learner_of(name, net_arch=(96, 96), precision="auto")
    assert (exact.kernel, rough.kernel) == (float32_kernel(torch.device("cpu")), BFloat16)
    for each, held in ((exact, first), (rough, second)):
        each.update(held, 3)
    assert not same(exact, rough)
    ours, theirs = exact.state()["critics.values"], rough.state()["critics.values"]
    assert ours.dtype == theirs.dtype == np.float32
    assert np.abs(ours - theirs).max() < 3 * 2 * 1e-3  # of three steps of at most the learning rate each


@EACH
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_learns_on_cuda_as_on_the_cpu(name: str) -> None:
    there, first = learner_of(name, device="cuda", target_noise=0.0)
    here, second = learner_of(name, target_noise=0.0)
    there.restore({**here.state(), "generator": there.state()["generator"]})
    there.update(first, 5)
    here.update(second, 5)
    if name != "SAC":
        np.testing.assert_allclose(there.state()["critics.values"], here.state()["critics.values"], atol=1e-3)
    assert np.isfinite(there.policy().act(drawn_rows(3)[:, LAYOUT.observation])).all()
