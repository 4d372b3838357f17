"""Paths resampled from history: the stationary bootstrap, jointly over instruments, whole bars."""

from __future__ import annotations

import numpy as np

from agents.metrics.bootstrap import block_length, resample_indices
from orchestrator.sandbox.panel import Panel
from schemas.columns import Float64


def mean_block(panel: Panel) -> float:
    """Return the mean block, in bars: the longer one of the market's returns and of their size.

    Returns hardly depend on each other but their size does, so that the second keeps volatile times together.
    The market is the equal-weighted mean of the instruments.
    """
    market = panel.returns.mean(axis=1)
    return max(block_length(market), block_length(np.abs(market)))


def path(panel: Panel, block: float, seed: int, number: int) -> Panel:
    """Return path `number`: the first row as it was, then T - 1 rows drawn from the history's (Politis, Romano 1994).

    A row is drawn for all instruments at once; its open, high, low and close relative to the close before, and its
    volume, travel together. The generator is that of the number-th child that SeedSequence(seed) spawns.
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
    drawn = resample_indices(len(panel.bars) - 1, block, generator)
    shapes: Float64 = panel.prices[1:] / panel.prices[:-1, :, 3:]  # (T - 1, N, 4)
    shapes = shapes[drawn]
    closes = np.cumprod(np.concatenate([panel.prices[:1, :, 3], shapes[:, :, 3]]), axis=0)  # (T, N)
    prices = np.concatenate([panel.prices[:1], closes[:-1, :, None] * shapes])
    volume = np.concatenate([panel.volume[:1], panel.volume[1:][drawn]])
    return panel.changed(prices, volume, 1)
