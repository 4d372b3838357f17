"""The least variance, against hand-worked cases and the conditions that no other portfolio meets."""

from __future__ import annotations

import numpy as np
import pytest

from rl.minimum_variance import minimum_variance


def test_independent_assets_weigh_by_the_inverse_of_their_variance() -> None:
    assert minimum_variance(np.diag([1.0, 2.0, 4.0])) == pytest.approx([4 / 7, 2 / 7, 1 / 7])


def test_two_correlated_assets_by_hand() -> None:
    """The first one's weight is (v2 - c) / (v1 + v2 - 2c) = (4 - 0.5) / (1 + 4 - 1)."""
    assert minimum_variance(np.array([[1.0, 0.5], [0.5, 4.0]])) == pytest.approx([0.875, 0.125])


def test_what_would_be_sold_short_is_left_out() -> None:
    assert minimum_variance(np.array([[1.0, 1.5], [1.5, 4.0]])).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("seed", range(20))
def test_no_other_portfolio_has_less(seed: int) -> None:
    """Karush, Kuhn and Tucker: held assets have the portfolio's own marginal variance, the others none below it."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 25))
    factor = rng.standard_normal((80, 1))
    covariance = np.cov((factor * rng.uniform(0, 3, count) + rng.standard_normal((80, count))).T)
    weights = minimum_variance(covariance)
    marginal, variance = covariance @ weights, weights @ covariance @ weights
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert marginal[weights > 0] == pytest.approx(np.full((weights > 0).sum(), variance))
    assert (marginal >= variance * (1 - 1e-9)).all()
