"""The rules of the workloads as plain loops over prices: nothing of the project is imported, and no pool, order or id.

Each returns (orders filled, final equity). Prices are float64 money; a commission of 10 bps is paid on each fill.
fill: next_open, next_close, or same_close, the close decided on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FEE = 0.001
Floats = NDArray[np.float64]


def sma_cross(opens: Floats, closes: Floats, *, cash: float, fill: str = "next_open") -> tuple[int, float]:
    """Hold 1,000 units while the mean of 20 closes lies above that of 50; prices of shape (bars,)."""
    held, wanted, fills, same_close = 0.0, 0.0, 0, fill == "same_close"
    nexts = opens if fill == "next_open" else closes
    fast, slow = _means(closes, 20), _means(closes, 50)
    for bar in range(len(closes)):
        if not same_close and wanted != held:
            cash -= (wanted - held) * nexts[bar] + FEE * abs(wanted - held) * nexts[bar]
            held, fills = wanted, fills + 1
        if bar >= 49:
            wanted = 1_000.0 if fast[bar] > slow[bar] else 0.0
        if same_close and wanted != held:
            cash -= (wanted - held) * closes[bar] + FEE * abs(wanted - held) * closes[bar]
            held, fills = wanted, fills + 1
    return fills, float(cash + held * closes[-1])


def top_returns(
    opens: Floats, closes: Floats, *, cash: float, fill: str = "next_open", last_day: bool = False
) -> tuple[int, float]:
    """Hold floor(0.0475 x equity / close) units of the 20 highest close[t] / close[t-126]; prices (days, symbols).

    last_day: with same_close, trade on the last day too.
    """
    days, symbols = closes.shape
    held, fills = np.zeros(symbols), 0
    prices = {"next_open": opens[1:], "next_close": closes[1:], "same_close": closes}[fill]
    for day in range(126, days if last_day else days - 1):
        equity = cash + float((held * closes[day]).sum())
        ranked = np.argsort(-(closes[day] / closes[day - 126]), kind="stable")[:20]
        wanted = np.zeros(symbols)
        wanted[ranked] = np.floor(0.0475 * equity / closes[day, ranked])
        change, price = wanted - held, prices[day]
        cash -= float((change * price).sum() + FEE * (np.abs(change) * price).sum())
        held, fills = wanted, fills + int(np.count_nonzero(change))
    return fills, float(cash + (held * closes[-1]).sum())


def ema_cross(
    symbols: Sequence[int], prices: Sequence[float], *, cash: float, fill: str = "next_tick"
) -> tuple[int, float]:
    """Hold 100 units while an EMA of 50 ticks lies above one of 200; fill at the symbol's next tick, or at the same."""
    same_tick = fill == "same_tick"
    count = max(symbols) + 1
    fast, slow, seen, last = [0.0] * count, [0.0] * count, [0] * count, [0.0] * count
    held, wanted, fills = [0.0] * count, [0.0] * count, 0
    for s, price in zip(symbols, prices, strict=True):
        if not same_tick and wanted[s] != held[s]:
            cash -= (wanted[s] - held[s]) * price + FEE * abs(wanted[s] - held[s]) * price
            held[s], fills = wanted[s], fills + 1
        fast[s] = fast[s] + 2 / 51 * (price - fast[s]) if seen[s] else price
        slow[s] = slow[s] + 2 / 201 * (price - slow[s]) if seen[s] else price
        seen[s], last[s] = seen[s] + 1, price
        if seen[s] >= 200:
            wanted[s] = 100.0 if fast[s] > slow[s] else 0.0
        if same_tick and wanted[s] != held[s]:
            cash -= (wanted[s] - held[s]) * price + FEE * abs(wanted[s] - held[s]) * price
            held[s], fills = wanted[s], fills + 1
    return fills, cash + sum(units * price for units, price in zip(held, last, strict=True))


def _means(values: Floats, window: int) -> Floats:
    """Return the mean of the last values at each place; NaN before there are enough."""
    means = np.full(len(values), np.nan)
    means[window - 1 :] = np.lib.stride_tricks.sliding_window_view(values, window).mean(1)
    return means
