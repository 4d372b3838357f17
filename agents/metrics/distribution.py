"""Tails and shape of the distribution of returns."""

from __future__ import annotations

import math

import numpy as np

from agents.metrics.returns import FLAT
from schemas.columns import Float64
from streams.errors import InvalidData


def value_at_risk(changes: Float64, level: float = 0.95) -> float | None:
    """Return minus the quantile of returns at 1 - level: a loss is positive, per period; None without returns.

    The quantile is interpolated linearly at rank (n - 1) x (1 - level) (Hyndman and Fan 1996, type 7).
    """
    _check(level)
    return -float(np.quantile(changes, 1 - level, method="linear")) if len(changes) else None


def conditional_value_at_risk(changes: Float64, level: float = 0.95) -> float | None:
    """Return minus the mean of the floor((n - 1) x (1 - level)) + 1 lowest returns: those at or below the quantile.

    A loss is positive, per period; None without returns. Source: Rockafellar and Uryasev 2000, historical.
    """
    _check(level)
    if not len(changes):
        return None
    # A whole rank must not fall below itself by rounding: 1 - 0.9 is 0.09999999999999998.
    count = math.floor(round((len(changes) - 1) * (1 - level), 9)) + 1
    return -float(np.partition(changes, count - 1)[:count].mean())


def skewness(changes: Float64) -> float | None:
    """Return the third central moment over the cubed standard deviation, all with ddof 0 (g1); None without spread."""
    return _standard_moment(changes, 3)


def kurtosis(changes: Float64) -> float | None:
    """Return the fourth central moment over the squared variance, all with ddof 0, less 3 (g2): 0 is normal.

    None where the returns do not vary.
    """
    moment = _standard_moment(changes, 4)
    return moment - 3 if moment is not None else None


def _standard_moment(changes: Float64, order: int) -> float | None:
    if len(changes) < 2:
        return None
    spread = float(changes.std())
    return float(np.mean(((changes - changes.mean()) / spread) ** order)) if spread > FLAT else None


def _check(level: float) -> None:
    if not 0 < level < 1:
        raise InvalidData(f"level is {level}, expected a value between 0 and 1")
