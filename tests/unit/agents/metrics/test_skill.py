import math

import numpy as np
import pytest

from agents.metrics.skill import (
    SharpeEstimate,
    deflated_sharpe_ratio,
    estimate_sharpe,
    expected_maximum_sharpe,
    probabilistic_sharpe_ratio,
)
from streams.errors import InvalidData


def test_the_probabilistic_sharpe_ratio_meets_the_papers_example():
    # Bailey and Lopez de Prado 2012: 24 months of 0.458 a month, skewness -2.448, kurtosis 10.164.
    assert probabilistic_sharpe_ratio(SharpeEstimate(0.458, 24, -2.448, 7.164)) == pytest.approx(0.913, abs=5e-4)
    assert probabilistic_sharpe_ratio(SharpeEstimate(0.458, 24)) == pytest.approx(0.982, abs=5e-4)


def test_the_deflated_sharpe_ratio_meets_the_papers_example():
    # Bailey and Lopez de Prado 2014: 2.5 a year over 1250 days, 250 a year, skewness -3, kurtosis 10, variance 1/2.
    estimate, variance = SharpeEstimate(2.5 / 250**0.5, 1250, -3, 7), 0.5 / 250
    assert expected_maximum_sharpe(100, variance) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe_ratio(estimate, 100, variance) == pytest.approx(0.9004, abs=5e-5)
    assert deflated_sharpe_ratio(estimate, 46, variance) == pytest.approx(0.9505, abs=5e-5)
    assert deflated_sharpe_ratio(SharpeEstimate(2.5 / 250**0.5, 1250), 88, variance) == pytest.approx(0.9505, abs=5e-5)


def test_the_expected_maximum_is_near_that_of_drawn_trials():
    drawn = np.random.default_rng(5).normal(0, 0.1, (20_000, 50)).max(axis=1).mean()
    assert expected_maximum_sharpe(50, 0.01) == pytest.approx(drawn, rel=0.02)
    assert expected_maximum_sharpe(1, 0.01) == 0


def test_an_estimate_takes_the_moments_of_returns():
    changes = np.array([-0.02, 0.0, 0.02, 0.04])
    estimate = estimate_sharpe(changes)
    assert estimate.observations == 4
    assert estimate.ratio == pytest.approx(0.01 / math.sqrt(0.002 / 3))
    assert estimate.skewness == pytest.approx(0, abs=1e-12)
    # Deviations -3, -1, 1, 3: 164 / 4 over (20 / 4)^2, less 3.
    assert estimate.kurtosis == pytest.approx(41 / 25 - 3)


def test_at_its_own_value_the_probability_is_one_half():
    assert probabilistic_sharpe_ratio(SharpeEstimate(0.1, 50, -1, 4), 0.1) == pytest.approx(0.5)


def test_what_is_undefined_is_none():
    assert estimate_sharpe(np.full(9, 0.01)) is None
    assert estimate_sharpe(np.array([0.01])) is None
    # 1 - 3 + 1/2 < 0.
    assert probabilistic_sharpe_ratio(SharpeEstimate(1.0, 50, 3, 0)) is None
    assert deflated_sharpe_ratio(SharpeEstimate(1.0, 50, 3, 0), 10, 0.1) is None


def test_bad_arguments_are_refused():
    with pytest.raises(InvalidData, match="at least 2"):
        SharpeEstimate(0.1, 1)
    with pytest.raises(InvalidData, match="0 trials"):
        expected_maximum_sharpe(0, 0.1)
    with pytest.raises(InvalidData, match="variance"):
        expected_maximum_sharpe(5, -0.1)
