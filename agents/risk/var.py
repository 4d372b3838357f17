"""Historical risk of a portfolio."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agents.metrics.distribution import value_at_risk
from agents.metrics.drawdown import max_drawdown
from agents.metrics.ratios import sharpe_ratio
from agents.metrics.returns import volatility
from schemas.columns import Float64
from streams.errors import InvalidData, MissingData

PERIODS_PER_YEAR = 252
"""Bars per year behind the annualised figures: daily bars."""


def historical_var(returns: Float64, level: float = 0.95) -> float:
    """Return the one-period loss, as a positive fraction, that was not exceeded in a share `level` of the returns.

    returns has shape (n,), n >= 1. The quantile at 1 - level is interpolated linearly between order statistics at
    rank (n - 1) x (1 - level) (Hyndman and Fan 1996, type 7); a gain at that quantile gives 0.
    """
    loss = value_at_risk(returns, level)
    if loss is None:
        raise MissingData("there are 0 returns, 1 is needed")
    return max(0.0, loss)


def assess(closes: Mapping[str, Float64], weights: Mapping[str, float] | None = None) -> dict[str, float | None]:
    """Return var_95, max_drawdown, volatility and sharpe_ratio of fixed weights, rebalanced at each bar.

    closes are of equal length, oldest first; no weights means equal ones. volatility and sharpe_ratio (risk-free
    rate 0) are annualised with ddof 1 and 252 periods; sharpe_ratio is None where the returns do not vary.
    Raises MissingData for fewer than 2 returns, InvalidData for unequal lengths or weights that do not match.
    """
    returns = portfolio_returns(closes, weights)
    return {
        "var_95": historical_var(returns, 0.95),
        "max_drawdown": max_drawdown(np.concatenate(([1.0], np.cumprod(1 + returns)))),
        "volatility": volatility(returns, PERIODS_PER_YEAR),
        "sharpe_ratio": sharpe_ratio(returns, PERIODS_PER_YEAR),
    }


def portfolio_returns(closes: Mapping[str, Float64], weights: Mapping[str, float] | None = None) -> Float64:
    """Return the simple returns of fixed weights, rebalanced at each bar, shape (n - 1,)."""
    lengths = {name: len(series) for name, series in closes.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidData(f"closes must have one length, got {lengths}")
    if not lengths or min(lengths.values()) < 3:
        raise MissingData(f"closes are {lengths}, 3 of each are needed for 2 returns")
    shares = weights if weights is not None else dict.fromkeys(closes, 1 / len(closes))
    if set(shares) != set(closes):
        raise InvalidData(f"weights are for {sorted(shares)}, closes for {sorted(closes)}")
    names = sorted(closes)
    prices = np.stack([closes[name] for name in names])  # (instruments, n)
    if not (np.isfinite(prices).all() and (prices > 0).all()):
        raise InvalidData("closes must be finite and positive")
    held = np.array([shares[name] for name in names])[:, None]  # (instruments, 1)
    returns: Float64 = (held * (prices[:, 1:] / prices[:, :-1] - 1)).sum(axis=0)
    return returns
