"""The deepest fall of an equity series; its first value, the start capital, counts as a peak."""

from __future__ import annotations

import numpy as np

from schemas.columns import Float64


def drawdowns(equity: Float64) -> Float64:
    """Return the fall from the highest value so far as a share of it, shape (n,), 0 at a peak."""
    falls: Float64 = 1 - equity / np.maximum.accumulate(equity)
    return falls


def max_drawdown(equity: Float64) -> float:
    """Return the largest fall from a peak as a share of the peak; above 1 where equity turns negative."""
    return float(np.max(drawdowns(equity)))


def max_drawdown_length(equity: Float64) -> int:
    """Return the periods from the peak of the maximum drawdown until equity is back at it, or to the last value.

    The peak is the last value at its level before the fall; of equal drawdowns the first counts; 0 without a fall.
    """
    falls = drawdowns(equity)
    trough = int(np.argmax(falls))
    if falls[trough] <= 0:
        return 0
    peak = int(np.flatnonzero(falls[:trough] <= 0)[-1])
    recovered = np.flatnonzero(falls[trough:] <= 0)
    end = trough + int(recovered[0]) if len(recovered) else len(equity) - 1
    return end - peak
