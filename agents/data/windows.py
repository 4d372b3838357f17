"""Time windows over the ticks of all instruments: the slices in which a feed publishes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from agents.data.ticks import TickTable, check_follows, join_ticks, pack_ticks, unpack_ticks
from schemas.market import TickBlock
from streams.errors import ConfigError, InvalidData

Pending = dict[str, list[TickTable]]


def windows(blocks: Iterable[TickBlock], window_ns: int) -> Iterator[list[TickBlock]]:
    """Yield for each window that has rows its blocks, by instrument_id; windows begin at multiples of window_ns.

    Blocks come in the order of their first rows' times, all instruments together; how rows are cut into blocks
    changes nothing. InvalidData where a block comes after its window was yielded or an instrument's rows go back.
    """
    if window_ns < 1:
        raise ConfigError(f"window_ns is {window_ns}, expected at least 1")
    pending: Pending = {}
    newest: dict[str, TickTable] = {}
    done = 0  # every window that ends by here has been yielded
    for block in blocks:
        rows = unpack_ticks(block)
        first = int(rows.times[0])
        if block.instrument_id in newest:
            check_follows(newest[block.instrument_id], rows)
        newest[block.instrument_id] = rows
        if first < done:
            raise InvalidData(f"{block.instrument_id}: rows from {first} ns comes after the windows up to {done} ns")
        begin = first - first % window_ns
        if begin > done:
            yield from _drain(pending, begin, window_ns)
            done = begin
        pending.setdefault(block.instrument_id, []).append(rows)
    yield from _drain(pending, None, window_ns)


def _drain(pending: Pending, until: int | None, window_ns: int) -> Iterator[list[TickBlock]]:
    found: dict[int, list[TickBlock]] = {}
    for instrument_id in sorted(pending):
        table = join_ticks(pending[instrument_id])
        ready = len(table) if until is None else int(np.searchsorted(table.times, until))
        for window, rows in _split(table[:ready], window_ns):
            found.setdefault(window, []).extend(pack_ticks(rows))
        pending[instrument_id] = [table[ready:]]
    for instrument_id in [name for name, tables in pending.items() if not len(tables[0])]:
        del pending[instrument_id]
    yield from (found[window] for window in sorted(found))


def _split(table: TickTable, window_ns: int) -> Iterator[tuple[int, TickTable]]:
    if not len(table):
        return
    window = table.times // window_ns
    edges = [0, *(np.flatnonzero(np.diff(window)) + 1).tolist(), len(table)]
    for begin, end in pairwise(edges):
        yield int(window[begin]), table[begin:end]
