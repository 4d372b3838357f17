"""Bars of one instrument in columns of any length, and the blocks they travel in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from agents.data.calendars import Int64
from agents.data.frames import Float64
from schemas.market import MAX_OFFSET, Adjustment, BarBlock

MAX_ROWS = 1000
"""Rows in a block: large enough for speed, small enough for a Kafka record."""


@dataclass(frozen=True)
class BarTable:
    """Bars in time order, each column of shape (n,)."""

    opened: Int64
    """ts_open, ns UTC."""
    closed: Int64
    """ts_event, ns UTC."""
    day: Int64
    """Trading session, days since 1970-01-01."""
    open: Float64
    high: Float64
    low: Float64
    close: Float64
    volume: Float64

    def __len__(self) -> int:
        return len(self.day)

    def __getitem__(self, rows: slice) -> BarTable:
        return BarTable(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class Heading:
    """What all blocks of one series of bars have in common."""

    instrument_id: str
    interval: str
    adjustment: Adjustment
    source: str
    synthetic: bool


def spans(first: Int64, last: Int64) -> Iterator[slice]:
    """Cut rows into runs of at most MAX_ROWS whose times fit into one block, that is 2**53 ns or 104 days."""
    begin = 0
    while begin < len(first):
        fitting = int(np.searchsorted(last, int(first[begin]) + MAX_OFFSET))
        end = max(min(begin + MAX_ROWS, fitting), begin + 1)
        yield slice(begin, end)
        begin = end


def pack(table: BarTable, heading: Heading) -> tuple[BarBlock, ...]:
    """Return the bars as consecutive blocks."""
    return tuple(_block(table[rows], heading) for rows in spans(table.opened, table.closed))


def unpack(blocks: Sequence[BarBlock]) -> BarTable:
    """Join consecutive blocks of one series; the inverse of pack."""
    return BarTable(
        opened=np.concatenate([block.open_dt_ns.astype(np.int64) + block.base_ts for block in blocks]),
        closed=np.concatenate([block.dt_ns.astype(np.int64) + block.base_ts for block in blocks]),
        day=np.concatenate([block.session_day for block in blocks]).astype(np.int64),
        open=np.concatenate([block.open for block in blocks]),
        high=np.concatenate([block.high for block in blocks]),
        low=np.concatenate([block.low for block in blocks]),
        close=np.concatenate([block.close for block in blocks]),
        volume=np.concatenate([block.volume for block in blocks]),
    )


def heading_of(block: BarBlock) -> Heading:
    """Return what a block has in common with the others of its series."""
    return Heading(block.instrument_id, block.interval, block.adjustment, block.source, block.synthetic)


def _block(table: BarTable, heading: Heading) -> BarBlock:
    base = int(table.opened[0])
    return BarBlock(
        instrument_id=heading.instrument_id,
        interval=heading.interval,
        adjustment=heading.adjustment,
        source=heading.source,
        synthetic=heading.synthetic,
        base_ts=base,
        open_dt_ns=(table.opened - base).astype(np.float64),
        dt_ns=(table.closed - base).astype(np.float64),
        session_day=table.day.astype(np.float64),
        open=table.open,
        high=table.high,
        low=table.low,
        close=table.close,
        volume=table.volume,
    )
