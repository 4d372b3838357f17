"""The long-only portfolio of least variance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Float64
from streams.errors import InvalidData

Held = NDArray[np.bool_]
TOLERANCE = 1e-10
"""Relative to the variance: how far a multiplier may lie below 0."""


def minimum_variance(covariance: Float64) -> Float64:
    """Return the weights w >= 0, sum 1, that minimise w' C w for a positive definite C of shape (n, n).

    An active-set method: assets with the lowest multiplier come in, those that would go below 0 leave, until the
    conditions of Karush, Kuhn and Tucker hold. Source: Nocedal and Wright 2006, section 16.5; Markowitz 1952.
    """
    count = len(covariance)
    held = np.zeros(count, dtype=bool)
    held[int(np.argmin(np.diag(covariance)))] = True
    weights = held.astype(np.float64)
    for _ in range(10 * count):
        weights, held = _settle(covariance, weights, held)
        multipliers = covariance @ weights - weights @ covariance @ weights
        entering = int(np.argmin(np.where(held, np.inf, multipliers))) if not held.all() else -1
        if entering < 0 or multipliers[entering] >= -TOLERANCE * weights @ covariance @ weights:
            return weights
        held[entering] = True
    raise InvalidData("the minimum-variance weights were not found: is the covariance positive definite?")


def _settle(covariance: Float64, weights: Float64, held: Held) -> tuple[Float64, Held]:
    """Move to the least variance over the held assets; whatever would go below 0 on the way leaves."""
    while True:
        wanted = np.zeros_like(weights)
        free = np.linalg.solve(covariance[np.ix_(held, held)], np.ones(int(held.sum())))
        wanted[held] = free / free.sum()
        falling = held & (wanted <= 0)
        if not falling.any():
            return wanted, held
        share = float((weights[falling] / (weights[falling] - wanted[falling])).min())
        weights = weights + share * (wanted - weights)
        held = held & (weights > 1e-14)
        weights = np.where(held, weights, 0.0)
        weights = weights / weights.sum()
