"""Performance of an equity series, each figure with its convention; what is undefined is None."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from agents.portfolio.trips import round_trips
from schemas.columns import Float64
from schemas.fills import OrderFilled
from streams.errors import InvalidData

DAY_NS = 86_400 * 10**9
YEAR_DAYS = 365.25
MIN_DAYS = 30
"""Samples that span fewer calendar days are not annualised."""
FLAT = 1e-12
"""A standard deviation below this is rounding: the returns do not vary."""


def performance_metrics(
    equity: Float64, times: Sequence[int], fills: Sequence[OrderFilled], periods_per_year: float = 252
) -> dict[str, float | None]:
    """Return the named figures of an equity series, shape (n,), whose first value is the start capital.

    times are ns UTC, increasing; periods_per_year is the number of equity values in a year (252: daily).
    annual_return, volatility, sharpe_ratio, sortino_ratio and calmar_ratio are None for samples shorter than 30 days.
    Raises InvalidData for unequal lengths, an empty series, NaN, a start capital <= 0 or time going backwards.
    """
    _check(equity, times)
    days = (times[-1] - times[0]) / DAY_NS
    changes, long_enough = returns(equity), days >= MIN_DAYS
    annual = annual_return(equity, days) if long_enough else None
    drawdown = max_drawdown(equity)
    trips = round_trips(fills)
    return {
        "total_return": float(equity[-1] / equity[0] - 1),
        "annual_return": annual,
        "volatility": volatility(changes, periods_per_year) if long_enough else None,
        "sharpe_ratio": sharpe_ratio(changes, periods_per_year) if long_enough else None,
        "sortino_ratio": sortino_ratio(changes, periods_per_year) if long_enough else None,
        "calmar_ratio": annual / drawdown if annual is not None and drawdown > 0 else None,
        "max_drawdown": drawdown,
        "win_rate": win_rate(trips),
        "profit_factor": profit_factor(trips),
        "final_value": float(equity[-1]),
    }


def returns(equity: Float64) -> Float64:
    """Return simple returns, shape (n - 1,); empty where equity is not positive throughout."""
    if not (equity[:-1] > 0).all():
        return np.empty(0)
    changes: Float64 = equity[1:] / equity[:-1] - 1
    return changes


def annual_return(equity: Float64, days: float) -> float | None:
    """Return the compound annual growth rate by calendar time, 365.25 days a year; None for a negative final value."""
    growth = float(equity[-1] / equity[0])
    return growth ** (YEAR_DAYS / days) - 1 if growth >= 0 and days > 0 else None


def volatility(changes: Float64, periods_per_year: float) -> float | None:
    """Return the annualised standard deviation (ddof 1) of returns; None for fewer than 2."""
    return float(changes.std(ddof=1)) * periods_per_year**0.5 if len(changes) > 1 else None


def sharpe_ratio(changes: Float64, periods_per_year: float) -> float | None:
    """Return annualised mean over standard deviation (ddof 1), risk-free rate 0; None where returns do not vary."""
    deviation = float(changes.std(ddof=1)) if len(changes) > 1 else 0.0
    return float(changes.mean()) / deviation * periods_per_year**0.5 if deviation > FLAT else None


def sortino_ratio(changes: Float64, periods_per_year: float) -> float | None:
    """Return annualised mean over downside deviation, the root of the mean over all returns of min(r, 0)^2.

    The target return is 0; None for fewer than 2 returns or without a loss.
    """
    if len(changes) < 2:
        return None
    downside = float(np.sqrt(np.mean(np.minimum(changes, 0) ** 2)))
    return float(changes.mean()) / downside * periods_per_year**0.5 if downside > FLAT else None


def max_drawdown(equity: Float64) -> float:
    """Return the largest fall from a peak as a share of the peak; the start capital counts as a peak."""
    return float(np.max(1 - equity / np.maximum.accumulate(equity)))


def win_rate(trips: Sequence[float]) -> float | None:
    """Return the share of round trips with a profit after commission; None without any."""
    return sum(profit > 0 for profit in trips) / len(trips) if trips else None


def profit_factor(trips: Sequence[float]) -> float | None:
    """Return profits over losses of round trips after commission; None without a loss."""
    losses = -sum(profit for profit in trips if profit < 0)
    return sum(profit for profit in trips if profit > 0) / losses if losses else None


def _check(equity: Float64, times: Sequence[int]) -> None:
    if len(equity) != len(times) or len(equity) == 0:
        raise InvalidData(f"equity has {len(equity)} values and {len(times)} times, expected equally many, at least 1")
    if not np.isfinite(equity).all() or equity[0] <= 0:
        raise InvalidData(f"equity must be finite and start above 0, starts at {equity[0]}")
    if any(later < earlier for earlier, later in pairwise(times)):
        raise InvalidData("equity times go backwards")
