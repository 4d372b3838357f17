"""Risk parity: weights at which every instrument contributes the same risk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agents.alpha.opinion import Closes, Opinion, last
from agents.parameters import Parameters
from schemas.columns import Float64
from streams.errors import ConfigError, InvalidData, MissingData

TOLERANCE = 1e-10
"""Largest relative difference of a risk contribution from its share."""
MAX_SWEEPS = 1000
"""Rounds over all instruments after which the iteration is given up."""
_STILL = 1e-12
"""Standard deviation of returns up to which prices did not move."""


class RiskParityParameters(Parameters):
    """Parameters of risk parity."""

    gross: float = Field(default=1.0, gt=0)
    """Sum of the weights, as a share of equity; what is missing to 1 stays in cash."""


def history(parameters: RiskParityParameters, lookback: int) -> int:
    """Return the closes that a decision needs: those of lookback returns; raise ConfigError for a single return."""
    if lookback < 2:
        raise ConfigError(f"lookback_period = {lookback}: risk_parity needs at least 2 returns")
    return lookback + 1


def decide(parameters: RiskParityParameters, closes: Closes, lookback: int) -> dict[str, Opinion]:
    """BUY each instrument at gross x its equal-risk weight; the score is that weight, the confidence 1.

    The risk is the sample covariance (ddof 1) of the last lookback simple returns. Raises MissingData for an
    instrument whose returns do not vary.
    """
    names, needed = sorted(closes), history(parameters, lookback)
    prices = np.array([last(closes, name, needed) for name in names])  # (n, lookback + 1)
    returns = prices[:, 1:] / prices[:, :-1] - 1  # (n, lookback)
    for name, row in zip(names, returns, strict=True):
        if row.std() <= _STILL:
            raise MissingData(f"{name}: its last {lookback} returns do not vary, so that it has no risk to weigh")
    weights = parameters.gross * equal_risk(np.atleast_2d(np.cov(returns, ddof=1)))
    return {name: Opinion("BUY", w, 1.0, w) for name, w in zip(names, weights.tolist(), strict=True)}


def equal_risk(covariance: NDArray[np.float64]) -> Float64:
    """Return the positive weights of sum 1 with equal risk contributions w x (covariance w); covariance: (n, n).

    For two instruments, and for uncorrelated ones, they are the inverse volatilities. Raises InvalidData where none
    exist, for example because two instruments cancel each other exactly. Source: Spinu (2013) for the convex form,
    Griveau-Billion, Richard and Roncalli (2013) for the cyclical coordinate descent.
    """
    sigma = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(sigma, sigma)
    np.fill_diagonal(correlation, 1.0)
    weights = _descend(correlation) / sigma
    return np.asarray(weights / weights.sum())


def _descend(correlation: NDArray[np.float64]) -> Float64:
    """Minimise y'Cy / 2 - sum(log y) coordinate by coordinate: y is weight x volatility, up to its scale."""
    y = np.ones(len(correlation))
    for _ in range(MAX_SWEEPS):
        for i, row in enumerate(correlation):
            others = row @ y - y[i]
            y[i] = (np.sqrt(others * others + 4) - others) / 2
        if np.abs(y * (correlation @ y) - 1).max() <= TOLERANCE:
            return y
    raise InvalidData(f"no equal-risk weights found in {MAX_SWEEPS} sweeps: instruments nearly cancel each other")
