"""Gradients by hand and whole updates of TD3, DDPG and SAC, beside autograd and torch's Adam in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rl.config import RLConfiguration
from rl.ddpg import DDPG
from rl.off_policy import ReplayLearner
from rl.replay import Replay, replay_of
from rl.rows import Layout
from rl.sac import SAC
from rl.td3 import TD3
from tests.unit.rl.autograd import Reference, flat

LAYOUT = Layout(5, 3)
KINDS: dict[str, type[ReplayLearner]] = {"TD3": TD3, "DDPG": DDPG, "SAC": SAC}
VARIANTS: dict[str, dict[str, Any]] = {
    "as the paper": {},
    "one hidden layer": {"net_arch": (40,)},
    "three hidden layers": {"net_arch": (24, 16, 8)},
    "every step": {"policy_delay": 1},
    "every third step": {"policy_delay": 3},
    "limited gradients": {"max_grad_norm": 0.05},
    "prioritised": {"prioritized": True},
    "normalised": {"normalize_observations": True},
    "gamma and tau": {"gamma": 0.5, "tau": 0.5},
}


def rows(count: int, seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = rng.normal(0.5, 2, (count, LAYOUT.width)).astype(np.float32)
    drawn[:, LAYOUT.action] = rng.uniform(-1, 1, (count, LAYOUT.action_size))
    drawn[:, LAYOUT.terminated] = rng.random(count) < 0.2
    drawn[:, LAYOUT.truncated] = rng.random(count) < 0.2
    return drawn


def pair(name: str, changes: dict[str, Any]) -> tuple[ReplayLearner, Replay, Reference]:
    """Return a learner in float64 and its reference, each with a buffer of its own that draws the same."""
    small: dict[str, Any] = {"batch_size": 32, "net_arch": (24, 16), "learning_rate": 0.003, "seed": 7}
    config = RLConfiguration(**{**small, **changes, "algorithm": name})
    bounds = np.ones(LAYOUT.action_size, np.float32)
    learner = KINDS[name](config, LAYOUT, -bounds, bounds, dtype=torch.float64)
    ours, theirs = replay_of(config, LAYOUT), replay_of(config, LAYOUT)
    ours.add(rows(300))
    theirs.add(rows(300))
    return learner, ours, Reference(learner, theirs)


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
@pytest.mark.parametrize("name", KINDS)
def test_updates_are_those_of_autograd_and_adam(name: str, changes: dict[str, Any]) -> None:
    learner, replay, reference = pair(name, changes)
    for _ in range(7):
        learner.update(replay, 1)
        reference.step()
        np.testing.assert_allclose(learner.critics.gradients, flat(reference.critics, gradients=True), atol=1e-6)
    np.testing.assert_allclose(learner.actor.gradients, flat(reference.actor, gradients=True), atol=1e-6)
    state = learner.state()
    for part in ("actor", "critics", "critic_targets", *(() if name == "SAC" else ("actor_target",))):
        np.testing.assert_allclose(state[f"{part}.values"], flat(getattr(reference, part)), atol=1e-6, err_msg=part)
    if name == "SAC":
        np.testing.assert_allclose(state["log_temperature.values"], reference.log_temperature.detach(), atol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_figures_are_the_losses(name: str) -> None:
    learner, replay, reference = pair(name, {"policy_delay": 1})
    figures = learner.update(replay, 1)
    reference.step()
    assert figures["critic_loss"] == pytest.approx(reference.losses["critics"], rel=1e-6)
    assert figures["actor_loss"] == pytest.approx(reference.losses["actor"], rel=1e-6)
    assert figures["grad_norm"] == pytest.approx(np.linalg.norm(flat(reference.critics, gradients=True)), rel=1e-6)


@pytest.mark.parametrize("changes", [{"entropy_temperature": 0.3}, {"target_entropy": 2.0}])
def test_sac_is_paid_for_entropy_as_configured(changes: dict[str, Any]) -> None:
    learner, replay, reference = pair("SAC", changes)
    for _ in range(5):
        figures = learner.update(replay, 1)
        reference.step()
    np.testing.assert_allclose(learner.state()["actor.values"], flat(reference.actor), atol=1e-6)
    fixed = changes.get("entropy_temperature")
    assert figures["temperature"] == pytest.approx(fixed or 1, abs=0.02)
    assert (learner.state()["log_temperature.values"][0] == pytest.approx(np.log(0.3))) == (fixed is not None)


def test_clipped_deviations_of_sac_get_no_gradient() -> None:
    learner, replay, reference = pair("SAC", {})
    with torch.no_grad():
        learner.actor.members[0].layers[-1].bias[LAYOUT.action_size :] = torch.tensor([5.0, -30.0, 0.0])
        reference.actor[0][-1].bias[LAYOUT.action_size :] = torch.tensor([5.0, -30.0, 0.0])
    learner.update(replay, 1)
    reference.step()
    np.testing.assert_allclose(learner.actor.gradients, flat(reference.actor, gradients=True), atol=1e-6)
    assert (learner.actor.members[0].layers[-1].bias_gradient[LAYOUT.action_size :] == 0).tolist() == [
        True,
        True,
        False,
    ]
