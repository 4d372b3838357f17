"""Figures over time: by day, by month, by period, over a rolling window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from agents.metrics.returns import FLAT
from schemas.columns import Float64
from schemas.fills import OrderFilled
from streams.errors import InvalidData

Int64 = NDArray[np.int64]
Unit = Literal["Y", "M", "W", "D", "h", "m", "s"]
"""Year, month, week (from Thursday, as the epoch was one), UTC day, hour, minute, second: numpy's names."""


class Levels(NamedTuple):
    """Values at times."""

    times: Int64
    """Ns UTC, increasing, shape (n,)."""
    values: Float64
    """Shape (n,)."""


class Period(NamedTuple):
    """A figure of one period."""

    start: int
    """Its beginning, ns UTC."""
    value: float


def periods(times: Int64, unit: Unit) -> Int64:
    """Return the beginning of each time's period, ns UTC, shape (n,)."""
    starts: Int64 = times.astype("datetime64[ns]").astype(f"datetime64[{unit}]").astype("datetime64[ns]").astype("i8")
    return starts


def last_of(levels: Levels, unit: Unit) -> Levels:
    """Return the last value of each period that has one, with its time."""
    starts = periods(levels.times, unit)
    kept = np.flatnonzero(np.append(starts[1:] != starts[:-1], True)) if len(starts) else np.empty(0, np.int64)
    return Levels(levels.times[kept], levels.values[kept])


def period_returns(levels: Levels, unit: Unit, start: float) -> list[Period]:
    """Return each period's return: its last value over that of the period before (the first: over start), less 1."""
    last = last_of(levels, unit)
    before = np.concatenate(([start], last.values[:-1]))
    if not (before > 0).all():
        raise InvalidData(f"returns need levels above 0, got {before.min()}")
    changes = last.values / before - 1
    return [Period(int(at), float(r)) for at, r in zip(periods(last.times, unit), changes, strict=True)]


def rolling_sharpe(changes: Float64, window: int, periods_per_year: float) -> Float64:
    """Return the Sharpe ratio over the last `window` returns, as ratios.sharpe_ratio; shape (n - window + 1,).

    NaN where the returns of a window do not vary; empty for fewer returns than the window.
    """
    if window < 2:
        raise InvalidData(f"window is {window}, expected at least 2")
    if len(changes) < window:
        return np.empty(0)
    seen = sliding_window_view(changes, window)
    spread = seen.std(axis=1, ddof=1)
    varied = spread > FLAT
    ratio: Float64 = seen.mean(axis=1) / np.where(varied, spread, 1.0) * np.sqrt(periods_per_year)
    return np.where(varied, ratio, np.nan)


def turnover(fills: Iterable[OrderFilled], equity: Levels, unit: Unit) -> list[Period]:
    """Return half the traded value over the period's mean equity, for each period of equity; not per year.

    Trades of a period without an equity value count in the next that has one. Raises InvalidData for a mean <= 0.
    """
    starts, inverse = np.unique(periods(equity.times, unit), return_inverse=True)
    mean = np.bincount(inverse, equity.values) / np.bincount(inverse)
    if (mean <= 0).any():
        raise InvalidData(f"turnover needs a positive mean equity, got {mean.min()}")
    traded = np.zeros(len(starts))
    for fill in fills:
        begun = periods(np.array([fill.ts_event]), unit)[0]
        at = min(int(np.searchsorted(starts, begun)), len(starts) - 1)
        traded[at] += fill.quantity * fill.price * fill.multiplier
    return [Period(int(at), float(v)) for at, v in zip(starts, traded / 2 / mean, strict=True)]


def unit_of(times: Sequence[int] | Int64, least: int = 6) -> Unit:
    """Return the longest period of which the times span at least so many."""
    seconds = (int(times[-1]) - int(times[0])) / 1e9 if len(times) else 0.0
    lengths: tuple[tuple[Unit, float], ...] = (("M", 30 * 86_400), ("W", 7 * 86_400), ("D", 86_400), ("h", 3600))
    for unit, length in (*lengths, ("m", 60)):
        if seconds >= least * length:
            return unit
    return "s"
