import numpy as np
import pytest

from agents.metrics.bootstrap import block_length, confidence_interval, resample_indices
from agents.metrics.ratios import sharpe_ratio, sortino_ratio
from streams.errors import InvalidData
from tests.unit.agents.metrics.published import PUBLISHED, REFERENCE

HAM1 = PUBLISHED["ham1"]


def rng(seed=1):
    return np.random.default_rng(seed)


def mean(changes):
    return float(changes.mean())


@pytest.mark.parametrize("name", REFERENCE["block_length"])
def test_the_automatic_block_is_that_of_arch(name):
    changes = np.array(REFERENCE["series"].get(name, PUBLISHED.get(name)))
    assert block_length(changes) == pytest.approx(max(1, REFERENCE["block_length"][name]), rel=1e-9)


def test_blocks_run_on_wrap_around_and_have_the_mean_length():
    indices = resample_indices(1000, 8.0, rng())
    continues = indices[1:] == (indices[:-1] + 1) % 1000
    # A row ends its block with chance 1/8; a new block starts at the next row by accident with chance 1/1000.
    assert 1 / (1 - continues.mean()) == pytest.approx(8, rel=0.15)
    many = np.concatenate([resample_indices(10, 4.0, rng(seed)) for seed in range(4000)])
    assert np.bincount(many, minlength=10) / len(many) == pytest.approx(np.full(10, 0.1), abs=0.005)
    assert (9, 0) in set(zip(many[:-1].tolist(), many[1:].tolist(), strict=True))


def test_the_variance_of_the_mean_is_the_one_politis_and_romano_derive():
    # Lemma 1 of the 1994 paper: circular autocovariances C(i), weighted with (1 - i/n) (1 - p)^i + (i/n) (1 - p)^(n-i).
    length, mean_block = len(HAM1), 5.0
    centred = HAM1 - HAM1.mean()
    stays = 1 - 1 / mean_block
    lags = np.arange(1, length)
    circular = np.array([centred @ np.roll(centred, -lag) / length for lag in lags])
    weights = (1 - lags / length) * stays**lags + lags / length * stays ** (length - lags)
    variance = (centred @ centred / length + weights @ circular) / length
    generator = rng(2)
    means = [HAM1[resample_indices(length, mean_block, generator)].mean() for _ in range(20_000)]
    assert np.var(means) == pytest.approx(variance, rel=0.04)


def test_the_interval_of_the_sharpe_ratio_is_that_of_arch():
    low, high = confidence_interval(
        lambda changes: sharpe_ratio(changes, 12), HAM1, generator=rng(3), resamples=8000, mean_block=6.0
    )
    assert (low, high) == pytest.approx(REFERENCE["ham1_sharpe_95_block_6"], abs=0.05)


def test_blocks_of_one_give_the_normal_interval_of_a_mean():
    changes = rng(4).normal(0.001, 0.01, 500)
    low, high = confidence_interval(mean, changes, generator=rng(5), level=0.9, resamples=8000, mean_block=1.0)
    half = 1.645 * changes.std() / 500**0.5
    assert (low, high) == pytest.approx((changes.mean() - half, changes.mean() + half), abs=0.06 * half)


def test_the_seed_makes_the_interval():
    first, again, other = (confidence_interval(mean, HAM1, generator=rng(seed), resamples=50) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_what_is_undefined_is_none():
    assert confidence_interval(mean, np.array([0.1]), generator=rng()) is None
    # One loss among five returns is missing from some resamples, whose Sortino ratio is undefined.
    few = np.array([0.01, 0.02, -0.01, 0.03, 0.01])
    assert confidence_interval(lambda r: sortino_ratio(r, 12), few, generator=rng()) is None


@pytest.mark.parametrize("changes", [[], [0.1], [0.1, 0.1, 0.1], [0.1, -0.1], [0.1, 0.2, -0.1, 0.3, 0.0, 0.2]])
def test_short_and_flat_samples_have_a_block(changes):
    assert block_length(np.array(changes)) >= 1


def test_bad_arguments_are_refused():
    with pytest.raises(InvalidData, match="level"):
        confidence_interval(mean, HAM1, generator=rng(), level=1.0)
    with pytest.raises(InvalidData, match="0 resamples"):
        confidence_interval(mean, HAM1, generator=rng(), resamples=0)
    with pytest.raises(InvalidData, match="mean_block is"):
        resample_indices(10, 0.5, rng())
