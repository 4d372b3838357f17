"""Every field of RLConfiguration changes what a training does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from rl.config import RLAlgorithm, RLConfiguration
from rl.training import Training
from streams.errors import ConfigError
from tests.unit.rl.lqr import VectorLQR

SHAPES: dict[str, dict[str, Any]] = {
    "PPO": {"n_steps": 16, "batch_size": 16, "n_epochs": 2},
    "A2C": {"n_steps": 4},
    "TD3": {"batch_size": 8, "learning_starts": 20},
    "DDPG": {"batch_size": 8, "learning_starts": 20},
    "SAC": {"batch_size": 8, "learning_starts": 20},
}
ALL, ON, OFF = tuple(SHAPES), ("PPO", "A2C"), ("TD3", "DDPG", "SAC")
CHANGES: dict[str, tuple[tuple[str, ...], Any, Mapping[str, Any]]] = {
    # field: whom it concerns, another value, and what else is set in both cases
    "algorithm": (ALL, None, {}),
    "learning_rate": (ALL, 0.02, {}),
    "gamma": (ALL, 0.5, {}),
    "batch_size": (("PPO", *OFF), 12, {}),
    "net_arch": (ALL, (6, 5), {}),
    "max_grad_norm": (ALL, 0.01, {}),
    "seed": (ALL, 1, {}),
    "num_envs": (ALL, 3, {}),
    "normalize_observations": (ALL, True, {}),
    "reward_scale": (ALL, 0.1, {}),
    "buffer_size": (OFF, 25, {}),
    "learning_starts": (OFF, 30, {}),
    "update_to_data": (OFF, 0.5, {}),
    "tau": (OFF, 0.5, {}),
    "policy_delay": (OFF, 3, {}),
    "exploration_noise": (("TD3", "DDPG"), 0.7, {}),
    "target_noise": (("TD3",), 0.6, {}),
    "noise_clip": (("TD3",), 0.01, {}),
    "entropy_temperature": (("SAC",), 0.5, {}),
    "target_entropy": (("SAC",), 3.0, {}),
    "prioritized": (OFF, True, {}),
    "priority_alpha": (OFF, 0.1, {"prioritized": True}),
    "priority_beta": (OFF, 0.9, {"prioritized": True}),
    "n_steps": (ON, 8, {}),
    "n_epochs": (("PPO",), 3, {}),
    "gae_lambda": (ON, 0.3, {}),
    "clip_range": (("PPO",), 0.001, {}),
    "entropy_coefficient": (ON, 0.5, {}),
    "value_coefficient": (ON, 5.0, {}),
}
WHERE = {"device", "precision", "threads"}
"""Where it is computed, not what: they have tests of their own."""
CASES = [(field, name) for field, (names, *_) in CHANGES.items() if field != "algorithm" for name in names]


def trained(config: RLConfiguration) -> bytes:
    """Return what a short training leaves."""
    training = Training(config, VectorLQR(config.num_envs), steps=96)
    for _ in training.run():
        pass
    state = training.algorithm.state()
    return b"".join(state[name].tobytes() for name in sorted(state))


@pytest.fixture(scope="module")
def plain() -> dict[Any, bytes]:
    """Keep what trainings without a change left."""
    return {}


def test_no_field_is_left_out() -> None:
    assert set(CHANGES) | WHERE == set(RLConfiguration.model_fields)
    assert not set(CHANGES) & WHERE


@pytest.mark.parametrize(("field", "name"), CASES)
def test_a_field_changes_what_is_learned(field: str, name: str, plain: dict[Any, bytes]) -> None:
    _, value, also = CHANGES[field]
    given = {"algorithm": name, "net_arch": (6,), "num_envs": 2, **SHAPES[name], **also}
    key = (name, *also)
    if key not in plain:
        plain[key] = trained(RLConfiguration(**given))
    assert RLConfiguration(**given).model_dump()[field] != value
    assert trained(RLConfiguration(**{**given, field: value})) != plain[key]


@pytest.mark.parametrize("name", ALL)
def test_an_algorithm_trains_its_own_kind(name: str) -> None:
    config = RLConfiguration(algorithm=name, net_arch=(6,), num_envs=2, **SHAPES[name])
    training = Training(config, VectorLQR(2), steps=5)
    assert type(training.algorithm).__name__ == training.policy.algorithm == name
    assert (training.replay is not None) == RLAlgorithm(name).off_policy


def seen_while_updating(config: RLConfiguration) -> set[tuple[int, str]]:
    training = Training(config, VectorLQR(config.num_envs), steps=96)
    learn: Any = training.algorithm.update
    seen = set()

    def update(*given: Any) -> Any:
        seen.add((torch.get_num_threads(), torch.get_float32_matmul_precision()))
        return learn(*given)

    training.algorithm.update = update  # type: ignore[attr-defined]
    for _ in training.run():
        pass
    return seen


@pytest.mark.parametrize("name", ["PPO", "TD3"])
def test_threads_are_those_that_torch_computes_with(name: str) -> None:
    for threads in (1, 2):
        config = RLConfiguration(algorithm=name, num_envs=2, net_arch=(6,), threads=threads, **SHAPES[name])
        assert {found for found, _ in seen_while_updating(config)} == {threads}


@pytest.mark.parametrize("name", ON)
def test_precision_decides_how_torch_multiplies(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rl.precision.fastest", lambda device: "medium")
    for precision, expected in (("fp32", "highest"), ("auto", "medium")):
        config = RLConfiguration(algorithm=name, num_envs=2, net_arch=(6,), precision=precision, **SHAPES[name])
        assert {found for _, found in seen_while_updating(config)} == {expected}


@pytest.mark.parametrize("name", ALL)
def test_the_device_is_the_one_that_is_asked_for(name: str) -> None:
    def config(device: str) -> RLConfiguration:
        return RLConfiguration(algorithm=name, num_envs=2, net_arch=(6,), device=device, **SHAPES[name])

    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ConfigError, match=absent):
        Training(config(absent), VectorLQR(2), steps=5)
    if torch.cuda.is_available():
        on_cpu, on_cuda = (Training(config(device), VectorLQR(2), steps=96) for device in ("cpu", "cuda"))
        for training in (on_cpu, on_cuda):
            for _ in training.run():
                pass
        observations = np.ones((1, 2), np.float32)
        np.testing.assert_allclose(on_cpu.policy.act(observations), on_cuda.policy.act(observations), atol=0.05)
