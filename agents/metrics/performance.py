"""All figures of a run by name; what is undefined is None."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from agents.metrics import distribution, ratios, relative, returns, skill, trading
from agents.metrics.drawdown import max_drawdown, max_drawdown_length
from agents.metrics.trips import round_trips
from schemas.columns import Float64
from schemas.fills import OrderFilled
from schemas.positions import PositionsUpdated
from streams.errors import InvalidData

DAY_NS = 86_400 * 10**9
TRADING_DAYS = 252.0
"""Days in a year of daily values."""
MIN_DAYS = 30
"""Samples that span fewer calendar days are not annualised."""

Figures = dict[str, float | None]


def performance_metrics(
    equity: Float64,
    times: Sequence[int],
    fills: Sequence[OrderFilled],
    *,
    positions: Sequence[PositionsUpdated] | None = None,
    benchmark: Float64 | None = None,
    periods_per_year: float | None = None,
) -> Figures:
    """Return the named figures of an equity series, shape (n,), whose first value is the start capital.

    times are ns UTC, increasing; periods_per_year is the number of equity values in a year; None: figures per year rest
    on the start and the last value of each UTC day, 252 in a year, and all others on every value; benchmark
    holds levels at the same times; the risk-free rate and the targets are 0. What is per year is None for samples
    shorter than 30 days. Without positions or benchmark their figures are None.
    Raises InvalidData for unequal lengths, an empty series, NaN, a start capital <= 0 or time going backwards.
    """
    _check(equity, times)
    days = (times[-1] - times[0]) / DAY_NS
    trips = round_trips(fills)
    per_year = periods_per_year or TRADING_DAYS
    figures = {
        **_of_equity(equity, days, per_year),
        **_of_trading(fills, float(equity.mean()), days),
        **_of_benchmark(equity, benchmark, per_year),
        "win_rate": trading.win_rate(trips),
        "profit_factor": trading.profit_factor(trips),
        "exposure": trading.exposure(positions, fills) if positions is not None else None,
    }
    if periods_per_year is None and len(kept := _daily(times)) < len(equity):
        daily = _of_equity(equity[kept], days, per_year)
        daily |= _of_benchmark(equity[kept], benchmark[kept] if benchmark is not None else None, per_year)
        figures |= {name: daily[name] for name in PER_PERIOD}
    return figures if days >= MIN_DAYS else {**figures, **dict.fromkeys(ANNUAL)}


ANNUAL = (
    "annual_return",
    "volatility",
    "sharpe_ratio",
    "sortino_ratio",
    "calmar_ratio",
    "turnover",
    "cost_drag",
    "alpha",
    "information_ratio",
)
"""The figures that are per year."""


PER_PERIOD = ("volatility", "sharpe_ratio", "sortino_ratio", "alpha", "information_ratio")
"""Those of them that are scaled up from the returns of a period."""


def _daily(times: Sequence[int]) -> list[int]:
    """Return the places of the start and of the last value of each UTC day after it."""
    last = {ts // DAY_NS: place for place, ts in enumerate(times)}
    return sorted({0, *last.values()})


def _of_equity(equity: Float64, days: float, periods_per_year: float) -> Figures:
    changes = returns.simple_returns(equity)
    estimate = skill.estimate_sharpe(changes)
    return {
        "total_return": returns.total_return(equity),
        "annual_return": returns.annual_return(equity, days),
        "volatility": returns.volatility(changes, periods_per_year),
        "sharpe_ratio": ratios.sharpe_ratio(changes, periods_per_year),
        "sortino_ratio": ratios.sortino_ratio(changes, periods_per_year),
        "calmar_ratio": ratios.calmar_ratio(equity, days),
        "omega_ratio": ratios.omega_ratio(changes),
        "max_drawdown": max_drawdown(equity),
        "max_drawdown_length": max_drawdown_length(equity),
        "var_95": distribution.value_at_risk(changes, 0.95),
        "var_99": distribution.value_at_risk(changes, 0.99),
        "cvar_95": distribution.conditional_value_at_risk(changes, 0.95),
        "cvar_99": distribution.conditional_value_at_risk(changes, 0.99),
        "skewness": distribution.skewness(changes),
        "kurtosis": distribution.kurtosis(changes),
        "probabilistic_sharpe_ratio": skill.probabilistic_sharpe_ratio(estimate) if estimate else None,
        "final_value": float(equity[-1]),
    }


def _of_trading(fills: Sequence[OrderFilled], mean_equity: float, days: float) -> Figures:
    years = days / returns.YEAR_DAYS
    return {
        "turnover": trading.turnover(fills, mean_equity, years),
        "cost_drag": trading.cost_drag(fills, mean_equity, years),
    }


def _of_benchmark(equity: Float64, benchmark: Float64 | None, periods_per_year: float) -> Figures:
    names = ("beta", "alpha", "information_ratio")
    if benchmark is None:
        return dict.fromkeys(names)
    if len(benchmark) != len(equity) or not (np.isfinite(benchmark).all() and (benchmark > 0).all()):
        raise InvalidData(f"benchmark must have {len(equity)} finite and positive levels, has {len(benchmark)} values")
    own, other = returns.simple_returns(equity), returns.simple_returns(benchmark)
    if len(own) != len(other):
        return dict.fromkeys(names)
    return {
        "beta": relative.beta(own, other),
        "alpha": relative.alpha(own, other, periods_per_year),
        "information_ratio": relative.information_ratio(own, other, periods_per_year),
    }


def _check(equity: Float64, times: Sequence[int]) -> None:
    if len(equity) != len(times) or len(equity) == 0:
        raise InvalidData(f"equity has {len(equity)} values and {len(times)} times, expected equally many, at least 1")
    if not np.isfinite(equity).all() or equity[0] <= 0:
        raise InvalidData(f"equity must be finite and start above 0, starts at {equity[0]}")
    if any(later < earlier for earlier, later in pairwise(times)):
        raise InvalidData("equity times go backwards")
