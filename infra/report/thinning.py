"""Long series made short enough to draw, without hiding their extremes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from agents.metrics.series import Int64
from schemas.columns import Float64

POINTS = 2_000
"""Points of a curve, about."""


def kept_rows(columns: Sequence[Float64], points: int = POINTS) -> Int64:
    """Return the rows to draw of columns of equal length: each bucket's lowest and highest of every column.

    All rows where there are no more than points; always the first and the last. NaN counts as neither.
    """
    length = len(columns[0]) if columns else 0
    if length <= points:
        return np.arange(length)
    buckets = max(1, points // (2 * len(columns)))
    edges = np.linspace(0, length, buckets + 1).astype(int)
    kept = {0, length - 1}
    for column in columns:
        low, high = np.where(np.isnan(column), np.inf, column), np.where(np.isnan(column), -np.inf, column)
        for start, end in pairwise(edges):
            kept |= {int(start + low[start:end].argmin()), int(start + high[start:end].argmax())}
    return np.array(sorted(kept))
