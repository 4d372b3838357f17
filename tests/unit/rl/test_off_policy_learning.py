"""TD3, SAC and DDPG learn a problem whose optimum is known, and do not where their update rule is broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from rl.config import RLConfiguration
from rl.networks import Networks
from rl.off_policy import ReplayLearner
from rl.replay import Replay, replay_of
from rl.rows import Layout
from rl.sac import SAC
from rl.training import Training
from tests.unit.rl.lqr import START, A, B, Q, R, VectorLQR, best_gain, learned

GAMMA = 0.95
LEARNED, BROKEN = 0.85, 0.6
"""Share of the way from doing nothing to the optimum: above the first it is learned, below the second it is not."""
Patch = pytest.MonkeyPatch


def trained(name: str, *, steps: int = 1600, **changes: Any) -> Training:
    settings: dict[str, Any] = {
        "net_arch": (32, 32),
        "batch_size": 64,
        "learning_rate": 0.003,
        "learning_starts": 200,
        "gamma": GAMMA,
        "num_envs": 4,
        "update_to_data": 0.5,
        "exploration_noise": 0.2,
    }
    training = Training(RLConfiguration(**{**settings, **changes, "algorithm": name}), VectorLQR(4, bound=50.0), steps)
    for _ in training.run():
        pass
    return training


@pytest.mark.parametrize(
    ("name", "changes"),
    [("TD3", {}), ("DDPG", {}), ("TD3", {"prioritized": True}), ("DDPG", {"normalize_observations": True})],
)
def test_learns_what_riccati_says(name: str, changes: dict[str, Any]) -> None:
    assert learned(trained(name, **changes).policy.act) > LEARNED


def test_sac_learns_what_riccati_says_and_what_it_is_worth() -> None:
    training = trained("SAC")
    assert learned(training.policy.act) > LEARNED
    # Episodes are cut off after 20 steps, which is no end: a state is worth what it is for ever.
    assert training.algorithm.values(START[None].astype(np.float32))[0] == pytest.approx(worth(START), rel=0.25)


def worth(x: Any) -> float:
    """Return what the best policy without bounds gets from a state: -x'Px of the Riccati equation."""
    gain, p = best_gain(GAMMA), Q
    for _ in range(1000):
        p = Q + gain.T @ R @ gain + GAMMA * (A - B @ gain).T @ p @ (A - B @ gain)
    return -float(x @ p @ x)


def climbs(patch: Patch) -> None:
    """The deterministic actor goes up its loss."""
    right = ReplayLearner.policy_gradient

    def wrong(self: ReplayLearner, batch: Any) -> None:
        right(self, batch)
        self.actor.gradients.neg_()

    patch.setattr(ReplayLearner, "policy_gradient", wrong)


def sac_climbs(patch: Patch) -> None:
    """The stochastic actor goes up its loss."""
    right = SAC.policy_gradient_at

    def wrong(self: SAC, batch: Any, temperature: Any) -> Any:
        entropy = right(self, batch, temperature)
        self.actor.gradients.neg_()
        return entropy

    patch.setattr(SAC, "policy_gradient_at", wrong)


def forgets_the_future(patch: Patch) -> None:
    """Critics learn the reward alone."""
    patch.setattr(ReplayLearner, "bootstrap", lambda self, batch, values: batch.rewards)


def ends_everywhere(patch: Patch) -> None:
    """Steps that go on count as an end, and ends as going on."""
    patch.setattr(
        ReplayLearner,
        "bootstrap",
        lambda self, batch, values: torch.addcmul(batch.rewards, batch.terminated, values, value=self.config.gamma),
    )


def targets_stand_still(patch: Patch) -> None:
    """Target networks keep their first weights."""
    right = Networks.follow
    patch.setattr(Networks, "follow", lambda self, others, tau: right(self, others, tau) if tau == 1 else None)


def critics_forget_the_reward(patch: Patch) -> None:
    """Critics bootstrap from nothing."""
    right = ReplayLearner.bootstrap
    patch.setattr(ReplayLearner, "bootstrap", lambda self, batch, values: right(self, batch, values) - batch.rewards)


BREAKS: list[tuple[str, Callable[[Patch], None]]] = [
    ("TD3", climbs),
    ("DDPG", climbs),
    ("SAC", sac_climbs),
    ("TD3", forgets_the_future),
    ("SAC", forgets_the_future),
    ("DDPG", ends_everywhere),
    ("TD3", targets_stand_still),
    ("SAC", targets_stand_still),
    ("DDPG", targets_stand_still),
    ("TD3", critics_forget_the_reward),
]


@pytest.mark.parametrize(("name", "breaks"), BREAKS, ids=[f"{name}-{breaks.__name__}" for name, breaks in BREAKS])
def test_does_not_learn_where_its_rule_is_broken(
    name: str, breaks: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    breaks(monkeypatch)
    assert learned(trained(name).policy.act) < BROKEN


def paid(learner: ReplayLearner) -> Replay:
    """Return rows of a problem where the smallest action is best, so that without pay for entropy none is left."""
    layout, rng = learner.layout, np.random.default_rng(0)
    rows = rng.normal(size=(500, layout.width)).astype(np.float32)
    rows[:, layout.action] = rng.uniform(-1, 1, (500, layout.action_size))
    rows[:, layout.reward] = -np.abs(rows[:, layout.action]).sum(1)
    rows[:, layout.terminated] = 1
    replay = replay_of(learner.config, layout)
    replay.add(rows)
    return replay


def entropy_after(updates: int, **changes: Any) -> float:
    settings: dict[str, Any] = {"net_arch": (16,), "batch_size": 64, "learning_rate": 0.01}
    config = RLConfiguration(**{**settings, **changes, "algorithm": "SAC"})
    learner = SAC(config, Layout(2, 2), -np.ones(2, np.float32), np.ones(2, np.float32))
    replay = paid(learner)
    learner.update(replay, updates)
    return learner.update(replay, 50)["entropy"]


@pytest.mark.parametrize("target", [-1.0, 0.5])
def test_the_temperature_brings_entropy_to_its_target(target: float) -> None:
    assert entropy_after(700, target_entropy=target) == pytest.approx(target, abs=0.15)


def test_entropy_goes_where_it_is_hardly_paid_for_and_grows_where_it_is() -> None:
    assert entropy_after(700, entropy_temperature=0.001) < -2
    assert entropy_after(700, entropy_temperature=10.0) > 1.2  # log 4, of the uniform, is the most
