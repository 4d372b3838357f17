"""Generated trades, for measuring and demonstrating; always labelled as synthetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agents.data.frames import Float64
from agents.data.reference import Reference
from agents.data.ticks import TickTable, pack_ticks
from schemas.market import Instrument, TickBlock
from streams.errors import ConfigError

_SIMULATED = Reference(venue="SIM")


@dataclass(frozen=True)
class Walk:
    """How prices move: a geometric random walk plus a part that reverts to it."""

    start_price: float = 100.0
    """In the currency."""
    volatility: float = 1e-4
    """Standard deviation of the walk's log return from tick to tick."""
    noise: float = 2e-4
    """Standard deviation of the shocks to the reverting part, in log price."""
    reversion: float = 0.05
    """Fraction of the reverting part that decays from tick to tick, in (0, 1]."""
    mean_gap_ns: int = 50_000_000
    """Mean time between ticks, ns."""
    max_lots: int = 10
    """Sizes are uniform in 1..max_lots lots."""
    reference: Reference = _SIMULATED
    """Venue, currency, tick and lot."""


DEFAULT = Walk()
_MEMORY = 128
"""Ticks after which a shock to the reverting part counts as decayed; a power of 2."""


def synthetic_instruments(symbols: Sequence[str], walk: Walk = DEFAULT) -> tuple[Instrument, ...]:
    """Return the instruments of generated trades."""
    return tuple(walk.reference.instrument(symbol) for symbol in symbols)


def synthetic_ticks(
    symbols: Sequence[str], count: int, *, seed: int, start_ns: int, walk: Walk = DEFAULT
) -> list[TickBlock]:
    """Return count trades of each symbol in blocks of at most 1,000, ordered by their first row's time.

    A symbol's trades depend on seed, symbol, count and walk alone, not on the other symbols.
    """
    if count < 1 or seed < 0:
        raise ConfigError(f"count is {count} and seed {seed}, expected at least 1 and 0")
    blocks = [block for symbol in symbols for block in pack_ticks(_ticks(symbol, count, seed, start_ns, walk))]
    return sorted(blocks, key=lambda block: (block.base_ts, block.instrument_id, block.seq0))


def _ticks(symbol: str, count: int, seed: int, start_ns: int, walk: Walk) -> TickTable:
    rng = np.random.default_rng([seed, *symbol.encode()])
    gaps = rng.integers(1, 2 * walk.mean_gap_ns, size=count)
    lots = rng.integers(1, walk.max_lots, size=count, endpoint=True)
    instrument = walk.reference.instrument(symbol)
    return TickTable(
        instrument_id=instrument.instrument_id,
        source=f"synthetic:seed={seed}",
        synthetic=True,
        times=start_ns + np.cumsum(gaps),
        sequence=np.arange(count, dtype=np.int64),
        price=_on_tick(walk.start_price * np.exp(_log_path(rng, count, walk)), instrument.tick_size),
        size=np.asarray(lots * instrument.lot_size, dtype=np.float64),
        side=rng.integers(1, 3, size=count).astype(np.uint8),
    )


def _log_path(rng: np.random.Generator, count: int, walk: Walk) -> Float64:
    trend = np.cumsum(rng.normal(0.0, walk.volatility, size=count))
    reverting = rng.normal(0.0, walk.noise, size=count)
    reach = 1
    while reach < _MEMORY:
        # doubling: after each pass a row holds the decayed shocks of twice as many rows
        reverting[reach:] += (1.0 - walk.reversion) ** reach * reverting[:-reach].copy()
        reach *= 2
    path: Float64 = trend + reverting
    return path


def _on_tick(price: Float64, tick_size: float) -> Float64:
    ticks = np.maximum(np.round(price / tick_size), 1.0)
    # a second rounding gives the float nearest to the decimal price: 3 * 0.1 is not 0.3
    return np.round(ticks * tick_size, 10)
