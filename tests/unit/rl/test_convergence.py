"""The guide's warning on real trainings: raised on a planted failure, not on a healthy run."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from rl import RLConfiguration
from rl.diagnosis import Checkup, Diagnosis, diagnose, warn
from rl.training import Training
from tests.unit.rl.lqr import VectorLQR, learned

PPO = {"algorithm": "ppo", "num_envs": 8, "n_steps": 64, "net_arch": [32, 32], "n_epochs": 5}
LOOKS = 12


def diagnosed(**config: Any) -> tuple[Diagnosis, int]:
    """Train on a problem with a known optimum, look at it as it goes, and return the verdict and the episodes."""
    chosen = RLConfiguration.model_validate(PPO | config)
    training = Training(chosen, VectorLQR(8), steps=10_000)
    points, heard = [Checkup(0, 0, learned(training.policy.act))], defaultdict(list)
    for progress in training.run():
        for name, value in progress.figures.items():
            heard[name].append(value)
        if len(points) <= training.share * LOOKS:
            told = {name: float(np.mean(values)) for name, values in heard.items()}
            heard.clear()
            points.append(Checkup(progress.steps, progress.episodes, learned(training.policy.act), figures=told))
    return diagnose(points, chosen), training.done_episodes


@pytest.mark.parametrize(("rate", "warned"), [(2e-3, False), (0.5, True)])
def test_a_learning_rate_far_too_high_is_warned_of(rate: float, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    found, episodes = diagnosed(learning_rate=rate)
    with caplog.at_level(logging.WARNING):
        warn(found, episodes)
    assert bool(caplog.records) is warned, found
    if warned:
        (record,) = caplog.records
        assert record.name == "RLPolicyEngine"
        assert record.getMessage().startswith(f"Training not converging after {episodes} episodes: ")
        assert "learning_rate" in record.getMessage()
    else:
        assert found.status in ("converged", "improving")
        assert not any(finding.fatal for finding in found.findings)
