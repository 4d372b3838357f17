"""Returns next to those of a benchmark over the same periods."""

from __future__ import annotations

import numpy as np

from agents.metrics.returns import FLAT, compounded, volatility
from schemas.columns import Float64
from streams.errors import InvalidData


def beta(changes: Float64, benchmark: Float64) -> float | None:
    """Return covariance with the benchmark over its variance: the slope of least squares.

    None for fewer than 2 returns and where the benchmark does not vary. A constant risk-free rate cancels out.
    """
    _check(changes, benchmark)
    if len(benchmark) < 2 or benchmark.std() <= FLAT:
        return None
    centred = benchmark - benchmark.mean()
    return float(centred @ (changes - changes.mean()) / (centred @ centred))


def alpha(changes: Float64, benchmark: Float64, periods_per_year: float, *, risk_free: float = 0.0) -> float | None:
    """Return the intercept of least squares on the benchmark, both less risk_free (per period), compounded to a year.

    (1 + intercept)^periods_per_year - 1; None where beta is, or where the intercept is below -1. Source: Jensen 1968.
    """
    slope = beta(changes, benchmark)
    if slope is None:
        return None
    intercept = float(changes.mean() - risk_free - slope * (benchmark.mean() - risk_free))
    return compounded(1 + intercept, periods_per_year)


def tracking_error(changes: Float64, benchmark: Float64, periods_per_year: float) -> float | None:
    """Return the annualised standard deviation (ddof 1) of r - benchmark; None for fewer than 2 returns."""
    _check(changes, benchmark)
    return volatility(changes - benchmark, periods_per_year)


def information_ratio(changes: Float64, benchmark: Float64, periods_per_year: float) -> float | None:
    """Return the annualised arithmetic mean of r - benchmark over the tracking error; None where that is 0 or None.

    Source: Goodwin 1998, arithmetic; R's InformationRatio divides the difference of compound returns instead.
    """
    error = tracking_error(changes, benchmark, periods_per_year)
    if error is None or error <= FLAT:
        return None
    return float(np.mean(changes - benchmark)) * periods_per_year / error


def _check(changes: Float64, benchmark: Float64) -> None:
    if len(changes) != len(benchmark):
        raise InvalidData(f"there are {len(changes)} returns and {len(benchmark)} of the benchmark, expected as many")
