"""Trades of one instrument in columns of any length, and the blocks they travel in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from agents.data.bars import spans
from agents.data.calendars import Int64
from agents.data.frames import Float64
from schemas.market import TickBlock
from streams.errors import InvalidData


@dataclass(frozen=True)
class TickTable:
    """Trades in order, each column of shape (n,)."""

    instrument_id: str
    source: str
    synthetic: bool
    times: Int64
    """Ns UTC, non-decreasing."""
    sequence: Int64
    """Order among the instrument's rows, ascending."""
    price: Float64
    size: Float64
    side: NDArray[np.uint8]
    """Aggressor: 0 unknown, 1 buy, 2 sell."""

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, rows: slice) -> TickTable:
        return replace(
            self,
            times=self.times[rows],
            sequence=self.sequence[rows],
            price=self.price[rows],
            size=self.size[rows],
            side=self.side[rows],
        )


def unpack_ticks(block: TickBlock) -> TickTable:
    """Return a block's rows as a table."""
    return TickTable(
        instrument_id=block.instrument_id,
        source=block.source,
        synthetic=block.synthetic,
        times=block.times(),
        sequence=np.arange(block.seq0, block.seq0 + len(block), dtype=np.int64),
        price=block.price,
        size=block.size,
        side=block.side,
    )


def check_follows(before: TickTable, after: TickTable) -> None:
    """Raise InvalidData unless the second table continues the first one of the same instrument."""
    if after.times[0] < before.times[-1] or after.sequence[0] <= before.sequence[-1]:
        raise InvalidData(
            f"{after.instrument_id}: row {after.sequence[0]} at {after.times[0]} ns comes after "
            f"row {before.sequence[-1]} at {before.times[-1]} ns"
        )
    if (after.source, after.synthetic) != (before.source, before.synthetic):
        raise InvalidData(f"{after.instrument_id}: rows of {after.source} follow rows of {before.source}")


def join_ticks(tables: Sequence[TickTable]) -> TickTable:
    """Join consecutive tables of one instrument."""
    head = tables[0]
    if len(tables) == 1:
        return head
    return TickTable(
        instrument_id=head.instrument_id,
        source=head.source,
        synthetic=head.synthetic,
        times=np.concatenate([table.times for table in tables]),
        sequence=np.concatenate([table.sequence for table in tables]),
        price=np.concatenate([table.price for table in tables]),
        size=np.concatenate([table.size for table in tables]),
        side=np.concatenate([table.side for table in tables]),
    )


def pack_ticks(table: TickTable) -> list[TickBlock]:
    """Return the trades as blocks of at most MAX_ROWS; a gap in the sequence begins a new block."""
    gaps = np.flatnonzero(np.diff(table.sequence) != 1) + 1
    edges = [0, *gaps.tolist(), len(table)]
    runs = [table[begin:end] for begin, end in pairwise(edges)]
    return [_block(run[rows]) for run in runs for rows in spans(run.times, run.times)]


def _block(table: TickTable) -> TickBlock:
    base = int(table.times[0])
    return TickBlock(
        instrument_id=table.instrument_id,
        source=table.source,
        synthetic=table.synthetic,
        base_ts=base,
        seq0=int(table.sequence[0]),
        dt_ns=(table.times - base).astype(np.float64),
        price=table.price,
        size=table.size,
        side=table.side,
    )
