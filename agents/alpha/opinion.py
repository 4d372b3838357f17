"""What a model thinks of an instrument, and the checks that every model shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.columns import Float64
from schemas.signals import Direction
from streams.errors import MissingData

Closes = Mapping[str, Float64]
"""Closing prices by instrument_id, float64, shape (n,), oldest first."""


@dataclass(frozen=True)
class Opinion:
    """A model's opinion on one instrument."""

    signal: Direction
    score: float
    """The model's own figure."""
    confidence: float
    """In [0, 1]; see confidence()."""
    target_weight: float | None = None
    """Share of equity to hold, signed; None leaves the size to portfolio construction."""


def confidence(score: float, threshold: float) -> float:
    """Return min(1, |score| / (2 x threshold)): 0 at no score, 0.5 at the threshold, 1 from twice the threshold.

    With threshold 0 the limit is taken: 1 for any score but 0.
    """
    if threshold == 0:
        return float(score != 0)
    return min(1.0, abs(score) / (2 * threshold))


def last(closes: Closes, instrument_id: str, needed: int) -> Float64:
    """Return an instrument's last closes, shape (needed,); raise MissingData where there are fewer."""
    history = closes[instrument_id]
    if len(history) < needed:
        raise MissingData(f"{instrument_id} has {len(history)} closes, {needed} are needed")
    return history[len(history) - needed :]
