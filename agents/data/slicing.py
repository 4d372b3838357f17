"""Slices of a feed: bars that close at one instant, or the trades of one time window with the bars that they end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

import numpy as np

from agents.data.aggregate import Aggregation, aggregate
from agents.data.calendars import ALWAYS
from agents.data.feed import Row
from agents.data.ticks import pack_ticks, unpack_ticks
from agents.data.windows import windows
from schemas import Bar, TickBlock


def slice_ts(rows: Iterable[Row]) -> int:
    """Return the time of a slice: that of its last row, ns UTC."""
    return max(row.ts_event for row in rows)


def bar_slices(bars: Iterable[Bar]) -> Iterator[list[Bar]]:
    """Yield bars of any order as slices of equal ts_event, in time order, each by instrument_id."""
    ordered = sorted(bars, key=lambda bar: (bar.ts_event, bar.instrument_id, bar.sequence))
    for _, rows in groupby(ordered, key=lambda bar: bar.ts_event):
        yield list(rows)


def tick_slices(
    blocks: Iterable[TickBlock], window_ns: int, bars: str | None = None, calendars: Mapping[str, str] | None = None
) -> Iterator[list[Row]]:
    """Yield trades as slices of one time window each, with the bars of the given interval that ended by then.

    blocks: in the order of their first rows' times. calendars: by instrument_id; 24/7 for one without.
    A bar is complete, and comes, with the first trade at or beyond its end: the last one, still open, never does.
    """
    states: dict[str, Aggregation] = {}
    for rows in windows(blocks, window_ns):
        ended = [bar for block in rows for bar in _ended(states, block, bars, calendars or {})] if bars else []
        yield [*rows, *sorted(ended, key=lambda bar: (bar.ts_event, bar.instrument_id))]


def _ended(states: dict[str, Aggregation], block: TickBlock, interval: str, calendars: Mapping[str, str]) -> list[Bar]:
    state = states.setdefault(block.instrument_id, Aggregation())
    return aggregate(state, block, interval, calendars.get(block.instrument_id, ALWAYS))


def between(blocks: Iterable[TickBlock], start_ns: int | None, end_ns: int | None) -> list[TickBlock]:
    """Return the rows with start_ns <= time < end_ns, None for no bound; each keeps its sequence."""
    kept: list[TickBlock] = []
    for block in blocks:
        rows = unpack_ticks(block)
        first = 0 if start_ns is None else int(np.searchsorted(rows.times, start_ns))
        stop = len(rows) if end_ns is None else int(np.searchsorted(rows.times, end_ns))
        if first < stop:
            kept += pack_ticks(rows[first:stop])
    return kept


def in_time_order(blocks: Iterable[TickBlock]) -> list[TickBlock]:
    """Return the blocks of all instruments in the order in which a feed meets them."""
    return sorted(blocks, key=lambda block: (block.base_ts, block.instrument_id, block.seq0))
