"""The comparison behind an A/B test: against Student's t, its size under no difference, its power."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from orchestrator.sandbox.ab_test import compare
from orchestrator.sandbox.options import AbOptions


def test_no_difference_at_all_is_no_evidence() -> None:
    found = compare(np.zeros(250), AbOptions())
    assert (found.p_value, found.mean, found.low, found.high) == (1.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("mean", [0.0, 0.0005, 0.001])
def test_independent_differences_agree_with_student(mean: float) -> None:
    differences = np.random.default_rng(5).normal(mean, 0.01, size=1000)
    found = compare(differences, AbOptions(mean_block=1.0, resamples=5000))
    student = stats.ttest_1samp(differences, 0.0)
    interval = student.confidence_interval(0.95)
    assert found.p_value == pytest.approx(student.pvalue, abs=0.02)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=5e-5)


def test_dependent_differences_are_not_called_different_too_often() -> None:
    rng = np.random.default_rng(8)
    rejected = 0
    for _ in range(150):
        noise = rng.normal(0, 0.01, size=400)
        for row in range(1, len(noise)):
            noise[row] += 0.3 * noise[row - 1]
        rejected += compare(noise, AbOptions(resamples=200)).p_value < 0.05
    assert 0.01 <= rejected / 150 <= 0.12


def test_the_seed_decides() -> None:
    differences = np.random.default_rng(5).normal(0.0002, 0.01, size=300)
    assert compare(differences, AbOptions(seed=1)) == compare(differences, AbOptions(seed=1))
    assert compare(differences, AbOptions(seed=1)) != compare(differences, AbOptions(seed=2))
