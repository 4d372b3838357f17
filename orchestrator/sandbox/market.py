"""The market that betas are taken to, estimated on what came before a shock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from agents.metrics.relative import beta
from orchestrator.sandbox.panel import Panel
from schemas.columns import Float64
from streams.errors import MissingData

SHORTEST = 20
"""Returns that an estimate needs."""


@dataclass(frozen=True)
class Exposure:
    """How instruments moved with the market before a time."""

    market: str
    """What the market is, for people."""
    betas: Float64
    """Slope of least squares of simple returns on the market's, not shrunk, shape (N,)."""
    observations: int
    first: str
    """Session of the first bar that was looked at."""
    last: str
    """Session of the last one."""


def exposure(panel: Panel, at: int, window: int, benchmark: tuple[str, Mapping[int, float]] | None = None) -> Exposure:
    """Return betas on the last `window` returns before row `at`; nothing from that row on is looked at.

    benchmark: a symbol and its closes by time, ns UTC; None: the mean of the instruments' returns, equal weights.
    Raises MissingData for fewer than 20 returns, for a benchmark that lacks a time or does not move.
    """
    first = max(0, at - 1 - window)
    returns = panel.returns[first : at - 1]
    if len(returns) < SHORTEST:
        raise MissingData(
            f"betas need {SHORTEST} returns before the shock, there are {len(returns)}: "
            "begin the data earlier, or let the shock come later"
        )
    name, market = ("equal-weighted mean of the symbols", returns.mean(axis=1))
    if benchmark is not None:
        name, market = benchmark[0], _returns(panel, first, at, benchmark)
    slopes = [beta(column, market) for column in returns.T]
    if None in slopes:
        raise MissingData(f"the market ({name}) does not move before the shock: no beta can be estimated")
    sessions = panel.sessions
    return Exposure(
        market=name,
        betas=np.array(slopes, dtype=np.float64),
        observations=len(returns),
        first=sessions[first],
        last=sessions[at - 1],
    )


def _returns(panel: Panel, first: int, at: int, benchmark: tuple[str, Mapping[int, float]]) -> Float64:
    symbol, closes = benchmark
    missing = [day for ts, day in zip(panel.times[first:at], panel.sessions[first:at], strict=True) if ts not in closes]
    if missing:
        raise MissingData(f"benchmark {symbol} has no bar at the time of the others on {missing[0]}")
    levels = np.array([closes[ts] for ts in panel.times[first:at]])
    changes: Float64 = levels[1:] / levels[:-1] - 1
    return changes
