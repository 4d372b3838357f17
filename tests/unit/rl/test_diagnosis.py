"""The diagnosis of a training, from courses whose verdict is known."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from rl import RLConfiguration
from rl.diagnosis import Checkup, diagnose, improvement, slope, warn

CONFIG = RLConfiguration()


def points(scores: list[float], **last: object) -> list[Checkup]:
    made = [Checkup(steps=1000 * n, episodes=10 * n, train=score) for n, score in enumerate(scores)]
    made[-1] = Checkup(made[-1].steps, made[-1].episodes, made[-1].train, **last)  # type: ignore[arg-type]
    return made


def noisy(course: list[float], spread: float = 1.0) -> list[float]:
    return (np.array(course) + np.random.default_rng(5).normal(0, spread, len(course))).tolist()


RISING = [100 * (1 - 0.5**n) for n in range(18)]


def test_a_course_that_rises_and_levels_off_converges() -> None:
    found = diagnose(points(noisy(RISING)), CONFIG)
    assert found.status == "converged", found
    assert found.improvement
    assert found.improvement[0] > 90
    assert found.improvement[1] < 110
    assert found.trend
    assert found.trend[0] <= 0 <= found.trend[1]


@pytest.mark.parametrize(
    ("course", "status", "reason"),
    [
        ([0.0] * 18, "not converging", "does not improve"),
        ([-10.0 * n for n in range(18)], "not converging", "gets worse"),
        ([10.0 * n for n in range(18)], "improving", "still improves"),
        ([*RISING[:9], *(100 - 11 * n for n in range(9))], "not converging", "gets worse"),
        ([*RISING[:9], *(100 - 6 * n for n in range(9))], "not converging", "loses what it gained"),
        ([1.0, 2.0, 3.0], "too short", "3 evaluations are too few"),
    ],
)
def test_other_courses_are_named(course: list[float], status: str, reason: str) -> None:
    found = diagnose(points(noisy(course)), CONFIG)
    assert found.status == status, found
    assert reason in found.reason


@pytest.mark.parametrize(
    ("figures", "what"),
    [
        ({"critic_loss": float("nan")}, "critic_loss is not finite"),
        ({"q_max": 1000.0, "reward_max": 1.0}, "|Q| reaches 1000"),
    ],
)
def test_numbers_that_cannot_be_rule_convergence_out(figures: dict[str, float], what: str) -> None:
    found = diagnose(points(noisy(RISING), figures=figures), CONFIG)
    assert found.status == "not converging"
    assert found.findings[0].fatal
    assert what in found.reason


def test_values_within_what_rewards_sum_to_are_fine() -> None:
    found = diagnose(points(noisy(RISING), figures={"q_max": 99.0, "reward_max": 1.0}), CONFIG)
    assert found.status == "converged"
    assert not found.findings


def test_what_is_paid_for_entropy_is_no_explosion() -> None:
    """0.05 x 4 for entropy at every step sums to 20 at gamma 0.99, the rewards alone to 0.1."""
    figures = {"q_max": 19.0, "reward_max": 0.001, "temperature": 0.05, "entropy": -4.0}
    assert diagnose(points(noisy(RISING), figures=figures), CONFIG).status == "converged"
    found = diagnose(points(noisy(RISING), figures={**figures, "temperature": 0.001}), CONFIG)
    assert "|Q| reaches 19" in found.reason


def test_what_a_trader_would_ask_is_told_beside_the_verdict() -> None:
    told = diagnose(points(noisy(RISING), saturation=0.99, turnover=0.8, q_bias=3.0), CONFIG)
    assert told.status == "converged"
    what = " ".join(finding.what for finding in told.findings)
    assert "99% of the actions" in what
    assert "80% of equity" in what
    assert "3 standard deviations above" in what
    assert len(told.advice) == 3


def test_a_gain_that_data_held_back_do_not_share_is_overfitting() -> None:
    course = points(noisy(RISING), validation=1.0)
    course[0] = Checkup(0, 0, course[0].train, validation=0.0)
    assert "overfits" in diagnose(course, CONFIG).findings[0].what


def test_gradients_that_vanish_or_explode_are_fatal() -> None:
    for norms, what in (([0.0] * 18, "gradient is 0"), ([1.0] * 17 + [500.0], "500 times its median")):
        course = [Checkup(n, n, score, figures={"grad_norm": norms[n]}) for n, score in enumerate(RISING)]
        found = diagnose(course, CONFIG)
        assert found.status == "not converging"
        assert what in found.reason


def test_the_warning_names_reason_and_remedy(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        warn(diagnose(points(noisy([0.0] * 18)), CONFIG), 1000)
        warn(diagnose(points(noisy(RISING)), CONFIG), 1000)
    (record,) = caplog.records
    assert (record.levelname, record.name) == ("WARNING", "RLPolicyEngine")
    assert record.getMessage().startswith("Training not converging after 1000 episodes: it does not improve")
    assert "learning_rate" in record.getMessage()


def test_the_slope_by_hand() -> None:
    """Of a straight line every resample has the same slope: 2 per evaluation, 18 over ten of them."""
    assert slope(np.arange(10) * 2.0, seed=0) == (18.0, 18.0)


def test_the_gain_by_hand() -> None:
    """Last third 10, 12: mean 11, deviation sqrt 2; t of one degree 12.706; sqrt(1 + 1/2)."""
    low, high = improvement(np.array([1.0, 5, 5, 5, 10, 12]))
    half = np.sqrt(2) * np.sqrt(1.5) * 12.706
    assert (low, high) == pytest.approx((10 - half, 10 + half))
