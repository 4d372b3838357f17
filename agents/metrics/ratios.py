"""Return over risk."""

from __future__ import annotations

import math

import numpy as np

from agents.metrics.drawdown import max_drawdown
from agents.metrics.returns import FLAT, annual_return, deviation, downside_deviation
from schemas.columns import Float64


def sharpe_ratio(changes: Float64, periods_per_year: float, risk_free: float = 0.0) -> float | None:
    """Return mean(r - risk_free) / standard deviation (ddof 1) x sqrt(periods_per_year), risk_free per period.

    None for fewer than 2 returns and where they do not vary. Source: Sharpe 1994; arithmetic mean.
    """
    spread = deviation(changes)
    if spread is None or spread <= FLAT:
        return None
    return float(changes.mean() - risk_free) / spread * math.sqrt(periods_per_year)


def sortino_ratio(changes: Float64, periods_per_year: float, target: float = 0.0) -> float | None:
    """Return mean(r - target) / downside deviation x sqrt(periods_per_year), target per period.

    None for fewer than 2 returns and without a return below the target. Source: Sortino and Price 1994.
    """
    if len(changes) < 2:
        return None
    downside = downside_deviation(changes, target)
    if downside is None or downside <= FLAT:
        return None
    return float(changes.mean() - target) / downside * math.sqrt(periods_per_year)


def calmar_ratio(equity: Float64, days: float) -> float | None:
    """Return the compound annual growth rate over the maximum drawdown, both of the whole series.

    None without a drawdown or a growth rate. Source: Young 1991, who takes the last 36 months.
    """
    growth, drawdown = annual_return(equity, days), max_drawdown(equity)
    return growth / drawdown if growth is not None and drawdown > FLAT else None


def omega_ratio(changes: Float64, target: float = 0.0) -> float | None:
    """Return the sum of returns above the target over the sum of those below it, each as its distance; per period.

    None without a return below the target. Source: Keating and Shadwick 2002.
    """
    losses = float(np.maximum(target - changes, 0).sum())
    return float(np.maximum(changes - target, 0).sum()) / losses if losses > FLAT else None
