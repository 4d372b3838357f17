"""Where the rows of a replay buffer stand on the log, in the order in which they went in: enough to build it again."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from streams.broker import Broker, Reader
from streams.errors import BrokerError, MissingData
from streams.record import Received, TopicPartition
from streams.topics import TRANSITIONS

MAX_ROWS = 65_536
"""A segment that has so many rows takes no more: it leaves the buffer as a whole."""
_POLL_S = 0.5
_IDLE_POLLS = 40


class Segment(NamedTuple):
    """Chunks that follow one another in a partition, all of which were taken."""

    partition: int
    start: int
    """Offset of the first."""
    end: int
    """Offset after the last."""
    rows: int
    digest: str
    """SHA-256 over the digest so far and the next chunk's rows, chunk by chunk."""


class Segments:
    """The segments of a ring, oldest first."""

    def __init__(self, capacity: int, kept: Iterable[Segment] = ()) -> None:
        self._capacity = capacity
        self._kept = deque(kept)
        self.rows = sum(segment.rows for segment in self._kept)
        """Rows of all segments: at least those that the ring holds."""
        self._open = False

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._kept)

    def add(self, place: tuple[int, int], rows: int, data: bytes | memoryview) -> None:
        """Add a chunk at (partition, offset); segments whose rows have all left the ring go."""
        partition, offset = place
        last = self._kept[-1] if self._kept and self._open else None
        if last is None or last.partition != partition or last.rows >= MAX_ROWS:
            last = Segment(partition, offset, offset, 0, "")
        else:
            self._kept.pop()
        digest = chained(last.digest, data)
        self._kept.append(Segment(partition, last.start, offset + 1, last.rows + rows, digest))
        self._open = True
        self.rows += rows
        while self.rows - self._kept[0].rows >= self._capacity:
            self.rows -= self._kept.popleft().rows

    def close(self, partition: int) -> None:
        """Let the partition's next chunk begin a segment: a record between was not taken."""
        if self._kept and self._kept[-1].partition == partition:
            self._open = False


def chained(digest: str, data: bytes | memoryview) -> str:
    """Return a segment's digest with one more chunk in it."""
    return hashlib.sha256(digest.encode() + data).hexdigest()


async def reread(broker: Broker, spans: Sequence[tuple[int, int, int]]) -> AsyncIterator[tuple[int, Received]]:
    """Yield the records of spans (partition, start, end) in their order, each with the index of its span.

    Raises MissingData where the log no longer has a span's beginning, BrokerError where records do not come.
    """
    first: dict[int, int] = {}
    for partition, start, _ in spans:
        first[partition] = min(start, first.get(partition, start))
    places = {partition: TopicPartition(TRANSITIONS.name, partition) for partition in first}
    begins = await broker.beginnings(list(places.values()))
    for partition, start in first.items():
        if begins[places[partition]] > start:
            raise MissingData(
                f"{places[partition].topic}[{partition}] begins at {begins[places[partition]]}, and what was learned "
                f"from offset {start} on is to be read again: keep the topic longer than a training's buffer"
            )
    async with AsyncExitStack() as stack:
        read = {
            partition: _Partition(await stack.enter_async_context(broker.reader({place: first[partition]})), place)
            for partition, place in places.items()
        }
        for index, (partition, start, end) in enumerate(spans):
            async for record in read[partition].between(start, end):
                yield index, record


class _Partition:
    """Reads one partition on and on, span after span."""

    def __init__(self, reader: Reader, place: TopicPartition) -> None:
        self._reader = reader
        self._place = place
        self._waiting: deque[Received] = deque()

    async def between(self, start: int, end: int) -> AsyncIterator[Received]:
        """Yield the records from start up to, without, end."""
        idle = 0
        while True:
            while self._waiting and self._waiting[0].offset < end:
                record = self._waiting.popleft()
                if record.offset >= start:
                    yield record
            if self._waiting or self._reader.position(self._place) >= end:
                return
            self._waiting.extend(await self._reader.poll(_POLL_S))
            idle = 0 if self._waiting else idle + 1
            if idle > _IDLE_POLLS:
                raise BrokerError(f"no records came of {self._place}, which ends later")
