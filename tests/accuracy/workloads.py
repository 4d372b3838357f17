"""Market data of the accuracy workloads: whole cents, so that no engine rounds prices differently."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MINUTE_NS = 60_000_000_000
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bars:
    """Bars in cents; prices and volumes of shape (bars,) or (bars, symbols)."""

    ts: Ints
    """Start of each bar, ns UTC, shape (bars,)."""
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints

    def first(self, count: int) -> Bars:
        """Return the first bars."""
        return Bars(**{name: column[:count] for name, column in vars(self).items()})


@dataclass(frozen=True)
class Ticks:
    """Trades of interleaved symbols in time order, all columns of shape (ticks,)."""

    ts: Ints
    """ns UTC, strictly increasing."""
    symbol: NDArray[np.int8]
    """Index of the symbol."""
    price: Ints
    """Cents."""
    side: NDArray[np.int8]
    """0 or 1."""
    size: NDArray[np.int32]

    def first(self, count: int) -> Ticks:
        """Return the first ticks."""
        return Ticks(**{name: column[:count] for name, column in vars(self).items()})


def minute_bars(count: int = 1_000_000, seed: int = 42) -> Bars:
    """Make workload a: one symbol whose 20 and 50 bar averages are never equal."""
    rng = np.random.default_rng(seed)
    close = _cents(10_000.0, _reverting(rng.normal(0, 0.0008, count), 2e-5))
    while len(ties := _ties(close)):
        close[ties] += 1
    gap = rng.integers(-2, 3, count)
    opened = np.concatenate([close[:1], close[:-1] + gap[1:]])
    high = np.maximum(opened, close) + rng.integers(0, 8, count)
    low = np.minimum(opened, close) - rng.integers(0, 8, count)
    start = 1_500_000_000_000_000_000 // MINUTE_NS * MINUTE_NS
    ts = start + MINUTE_NS * np.arange(count, dtype=np.int64)
    return Bars(ts, opened, high, low, close, rng.integers(5_000, 50_000, count))


def daily_bars(days: int = 2_520, symbols: int = 100, seed: int = 7) -> Bars:
    """Make workload b: returns with a common market, an own part and a slow drift; weekdays from 2008-01-02."""
    rng, shape = np.random.default_rng(seed), (days, symbols)
    market, beta = rng.normal(0.0003, 0.009, days), rng.uniform(0.5, 1.5, symbols)
    scale, drift, level = rng.uniform(0.008, 0.02, symbols), np.zeros(shape), np.zeros(symbols)
    for day in range(days):
        level = 0.98 * level + rng.normal(0, 0.0002, symbols)
        drift[day] = level
    returns = market[:, None] * beta + rng.normal(0, 1, shape) * scale + drift
    start = rng.uniform(30, 300, symbols)
    close = np.maximum(np.round(start * np.exp(np.cumsum(returns, 0)) * 100).astype(np.int64), 100)
    jump = np.exp(rng.normal(0, 0.002, shape))
    opened = np.concatenate([close[:1], np.round(close[:-1] * jump[1:]).astype(np.int64)])
    up, down = (np.exp(sign * np.abs(rng.normal(0, 0.003, shape))) for sign in (1, -1))
    high = np.round(np.maximum(opened, close) * up).astype(np.int64)
    low = np.round(np.minimum(opened, close) * down).astype(np.int64)
    volume = rng.integers(5_000_000, 50_000_000, shape)
    dates = np.busday_offset("2008-01-02", np.arange(days)).astype("datetime64[ns]")
    return Bars(dates.astype(np.int64), opened, high, low, close, volume)


def trade_ticks(count: int = 5_000_000, symbols: int = 10, seed: int = 11) -> Ticks:
    """Make workload c."""
    rng = np.random.default_rng(seed)
    symbol = rng.integers(0, symbols, count).astype(np.int8)
    ts = 1_600_000_000_000_000_000 + np.cumsum(rng.integers(1_000_000, 20_000_000, count))
    price = np.empty(count, np.int64)
    for each in range(symbols):
        rows = np.flatnonzero(symbol == each)
        price[rows] = _cents((50 + 40 * each) * 100.0, _reverting(rng.normal(0, 0.00012, len(rows)), 2e-6))
    side = rng.integers(0, 2, count).astype(np.int8)
    return Ticks(ts, symbol, price, side, rng.integers(1, 500, count).astype(np.int32))


def _reverting(noise: Floats, pull: float) -> Floats:
    """Return x[i] = x[i-1] - pull x x[i-1] + noise[i], started at 0."""
    path, level = np.empty(len(noise)), 0.0
    for i, step in enumerate(noise.tolist()):
        level += -pull * level + step
        path[i] = level
    return path


def _cents(start: float, log_price: Floats) -> Ints:
    return np.round(start * np.exp(log_price)).astype(np.int64)


def _ties(close: Ints) -> Ints:
    """Return the bars at which the averages of 20 and of 50 closes are equal."""
    total, bars = np.concatenate([[0], np.cumsum(close)]), np.arange(49, len(close))
    fast, slow = total[bars + 1] - total[bars - 19], total[bars + 1] - total[bars - 49]
    return bars[5 * fast == 2 * slow]
