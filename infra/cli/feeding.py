"""Publishing slices: as fast as Kafka takes them, or paced by their own time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from agents.data.feed import Feed, Row
from agents.data.slicing import slice_ts
from streams.retrying import set_within

BATCH_SLICES = 200
"""Slices of one transaction at most."""
CHECK_S = 0.5
"""How often a feed that waits looks for stops and kill switches."""
BATCH_ROWS = 50_000
"""Rows from which on a transaction takes no further slice."""


@dataclass
class Fed:
    """What was published."""

    slices: int = 0
    passed: int = 0
    """Slices that an earlier feed had published already."""
    first: int = -1
    """Time of the first slice, ns UTC; -1 for none."""
    last: int = -1
    rows: dict[str, int] = field(default_factory=dict)
    """New rows by topic."""
    until: int = -1
    """Time of the last slice on the log, ns UTC."""
    interrupted: bool = False
    """Whether it was stopped before the end."""


@dataclass
class Pace:
    """Event time, or a count of slices, against the loop's time."""

    speed: float | None
    """Times real time; None: no waiting."""
    slices_per_s: float | None = None
    """So many slices a second, whatever their times; None: as speed says."""
    _origin: tuple[int, float] | None = None
    _asked: int = 0

    def wait_s(self, ts: int) -> float:
        """Return how long to wait until the slice, which is the next one, is due; the first one is due at once."""
        if self.speed is None and self.slices_per_s is None:
            return 0.0
        now = asyncio.get_running_loop().time()
        if self._origin is None:
            self._origin = (ts, now)
        first, began = self._origin
        if self.slices_per_s is not None:
            due_s, self._asked = self._asked / self.slices_per_s, self._asked + 1
        else:
            due_s = (ts - first) / 1e9 / (self.speed or 1.0)
        return due_s - (now - began)


async def publish(
    feed: Feed, slices: Iterable[Sequence[Row]], pace: Pace, stop: asyncio.Event, told: Callable[[int], None]
) -> Fed:
    """Publish slices in transactions of several until they end or stop is set; told: rows of each that went out."""
    fed, before = Fed(), dict(feed.state.rows)
    batch: list[Sequence[Row]] = []

    async def flush() -> None:
        if batch:
            fed.slices += await feed.publish(batch)
            fed.first = slice_ts(batch[0]) if fed.first < 0 else fed.first
            fed.last = slice_ts(batch[-1])
            told(sum(map(rows_in, batch)))
            batch.clear()

    for rows in slices:
        ts = slice_ts(rows)
        if ts <= feed.state.last_data:
            fed.passed += 1
            told(rows_in(rows))
            continue
        wait_s = pace.wait_s(ts)
        if wait_s > 0 or len(batch) >= BATCH_SLICES or sum(map(rows_in, batch)) >= BATCH_ROWS:
            await flush()
        if stop.is_set() or (wait_s > 0 and await _stopped_within(feed, stop, wait_s)):
            fed.interrupted = True
            break
        batch.append(rows)
    await flush()
    fed.until = feed.state.last_slice
    fed.rows = {name: count - before.get(name, 0) for name, count in feed.state.rows.items()}
    return fed


async def _stopped_within(feed: Feed, stop: asyncio.Event, wait_s: float) -> bool:
    """Wait for the next slice; let stops and kill switches count meanwhile. Return whether stop is set."""
    loop = asyncio.get_running_loop()
    due = loop.time() + wait_s
    while (left := due - loop.time()) > 0:
        if await set_within(stop, min(left, CHECK_S)):
            return True
        await feed.close_empty()
    return False


def rows_in(rows: Sequence[Row]) -> int:
    """Return the number of trades and bars of a slice."""
    return sum(len(row) if hasattr(row, "__len__") else 1 for row in rows)
