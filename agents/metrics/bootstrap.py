"""Confidence intervals by the stationary bootstrap."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from agents.metrics.returns import FLAT
from schemas.columns import Float64
from streams.errors import InvalidData

RESAMPLES = 1000
"""Resamples behind an interval, unless told."""
BAND = 2.0
"""Autocorrelations within BAND x sqrt(log10(n) / n) are taken for 0 (Politis and White 2004, footnote c)."""
RUN = 5
"""As many in a row end the search for the bandwidth: max(5, sqrt(log10(n))) of the footnote, for any n below 1e25."""


def confidence_interval(
    statistic: Callable[[Float64], float | None],
    changes: Float64,
    *,
    generator: np.random.Generator,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    mean_block: float | None = None,
) -> tuple[float, float] | None:
    """Return the percentile interval of a statistic of returns over stationary bootstrap resamples.

    The mean block is block_length(changes) unless given. None for fewer than 2 returns and where the statistic is
    undefined for a resample. Source: Politis and Romano 1994; percentiles as in Efron 1979.
    """
    if not 0 < level < 1 or resamples < 1:
        raise InvalidData(f"got level {level} and {resamples} resamples, expected 0 < level < 1 and at least 1")
    if len(changes) < 2:
        return None
    block = block_length(changes) if mean_block is None else mean_block
    values: list[float] = []
    for _ in range(resamples):
        value = statistic(changes[resample_indices(len(changes), block, generator)])
        if value is None:
            return None
        values.append(value)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resample_indices(length: int, mean_block: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return the rows of one resample, shape (length,): blocks of geometric length that wrap around the end.

    A block starts anywhere with equal chance and ends after each row with chance 1 / mean_block, mean_block >= 1.
    """
    if mean_block < 1:
        raise InvalidData(f"mean_block is {mean_block}, expected at least 1")
    rows = np.arange(length)
    opens = generator.random(length) < 1 / mean_block
    opens[:1] = True
    first = np.maximum.accumulate(np.where(opens, rows, 0))  # (length,) row at which the block of each row opened
    starts = generator.integers(length, size=length)
    indices: NDArray[np.int64] = (starts[first] + rows - first) % length
    return indices


def block_length(changes: Float64) -> float:
    """Return the mean block that minimises the error of the bootstrap variance of the mean, from 1 up.

    The upper bound is ceil(min(3 sqrt(n), n / 3)). Source: Politis and White 2004 with the correction of Patton,
    Politis and White 2009; as in Patton's code the first lag of the run of zeros, not the one before it, is doubled.
    """
    length = len(changes)
    if length < 2 or changes.std() <= FLAT:
        return 1.0
    longest = max(1.0, math.ceil(min(3 * math.sqrt(length), length / 3)))
    covariances = _autocovariances(changes, min(math.ceil(math.sqrt(length)) + RUN, length - 1))
    lags = np.arange(1, _bandwidth(covariances, length) + 1)
    weights = np.minimum(1, 2 * (1 - lags / lags[-1])) * covariances[lags]  # flat-top lag window
    slope, spectrum = 2 * float(weights @ lags), float(covariances[0] + 2 * weights.sum())
    if abs(spectrum) <= FLAT * covariances[0]:
        return longest
    return min(max(1.0, math.cbrt(length * (slope / spectrum) ** 2)), longest)


def _bandwidth(covariances: Float64, length: int) -> int:
    longest = len(covariances) - 1
    zero = np.abs(covariances / covariances[0]) < BAND * math.sqrt(math.log10(length) / length)
    runs = (lag for lag in range(1, longest - RUN + 2) if zero[lag : lag + RUN].all())
    return min(2 * next(runs, longest), longest)


def _autocovariances(changes: Float64, longest: int) -> Float64:
    centred, count = changes - changes.mean(), len(changes)
    return np.array([centred[lag:] @ centred[: count - lag] / count for lag in range(longest + 1)])
