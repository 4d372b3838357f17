"""Interquartile means and their intervals against hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest

from rl.statistics import interquartile_mean, interval
from streams.errors import InvalidData


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([3.0], 3.0),
        ([1.0, 2.0, 6.0], 3.0),
        ([100.0, 1.0, 3.0, -50.0], 2.0),
        ([5.0, 1.0, 2.0, 3.0, 100.0], 10 / 3),
        ([float(n) for n in range(8)], 3.5),
    ],
)
def test_the_lowest_and_highest_quarter_do_not_count(values: list[float], mean: float) -> None:
    assert interquartile_mean(np.array(values)) == pytest.approx(mean)


def test_an_interval_holds_the_mean_and_narrows_with_seeds() -> None:
    rng = np.random.default_rng(3)
    few, many = rng.normal(1, 1, (4, 5)), rng.normal(1, 1, (4, 80))
    low, high = interval(few, seed=0)
    assert low < interquartile_mean(few) < high
    closer = interval(many, seed=0)
    assert closer[1] - closer[0] < (high - low) / 2
    assert interval(few, seed=0) == (low, high)


def test_each_task_keeps_its_own_seeds() -> None:
    """Rows that do not vary within themselves leave nothing to chance, however far apart they lie."""
    assert interval(np.array([[1.0, 1.0, 1.0], [9.0, 9.0, 9.0]]), seed=0) == (5.0, 5.0)


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    hits = 0
    for seed in range(100):
        low, high = interval(rng.normal(0, 1, (5, 20)), seed=seed, resamples=200)
        hits += low <= 0 <= high
    assert 85 <= hits <= 100


def test_one_seed_has_no_interval() -> None:
    with pytest.raises(InvalidData, match="at least 2 seeds, got 1"):
        interval(np.ones((3, 1)), seed=0)
    with pytest.raises(InvalidData, match="at least one value"):
        interquartile_mean(np.empty(0))
