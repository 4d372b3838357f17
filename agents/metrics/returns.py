"""Returns of an equity series and how they vary."""

from __future__ import annotations

import math

import numpy as np

from schemas.columns import Float64

YEAR_DAYS = 365.25
"""Calendar days in a year."""
FLAT = 1e-12
"""A deviation below this is rounding: the returns do not vary."""


def simple_returns(levels: Float64) -> Float64:
    """Return simple returns of levels, shape (n - 1,); empty where a level before the last is not positive."""
    if not (levels[:-1] > 0).all():
        return np.empty(0)
    changes: Float64 = levels[1:] / levels[:-1] - 1
    return changes


def total_return(equity: Float64) -> float:
    """Return the last value over the first, less 1."""
    return float(equity[-1] / equity[0] - 1)


def annual_return(equity: Float64, days: float) -> float | None:
    """Return the compound annual growth rate by calendar time, 365.25 days a year.

    None for a negative final value, for no time at all and where the growth is beyond the range of a float.
    """
    return compounded(float(equity[-1] / equity[0]), YEAR_DAYS / days) if days > 0 else None


def compounded(growth: float, times: float) -> float | None:
    """Return growth to the power of times, less 1; None for negative growth and beyond the range of a float."""
    try:
        return float(growth**times - 1) if growth >= 0 else None
    except OverflowError:
        return None


def deviation(changes: Float64) -> float | None:
    """Return the standard deviation (ddof 1); None for fewer than 2 returns."""
    return float(changes.std(ddof=1)) if len(changes) > 1 else None


def volatility(changes: Float64, periods_per_year: float) -> float | None:
    """Return the standard deviation (ddof 1) x sqrt(periods_per_year); None for fewer than 2 returns."""
    spread = deviation(changes)
    return spread * math.sqrt(periods_per_year) if spread is not None else None


def downside_deviation(changes: Float64, target: float = 0.0) -> float | None:
    """Return the root of the mean over all returns of min(r - target, 0)^2, target per period; None without returns.

    Source: Sortino and Price 1994; the mean is over n, not over the losses alone.
    """
    return float(np.sqrt(np.mean(np.minimum(changes - target, 0) ** 2))) if len(changes) else None
