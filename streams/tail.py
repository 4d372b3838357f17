"""Follow topics from where they end now, or from their beginning: what a user, a test or a report wants to see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from schemas import SliceClosed
from streams.broker import Broker, Reader
from streams.errors import BrokerError, DecodeError
from streams.record import Envelope, Event, TopicPartition
from streams.serde import Serde


class Tail:
    """Collects the events of some topics in the order in which they are read."""

    def __init__(self, reader: Reader, serde: Serde) -> None:
        self._reader = reader
        self._serde = serde
        self.events: list[Event] = []
        """Everything read so far, slice closings left out."""
        self._accepted: dict[int, set[tuple[int, int]]] = {}

    async def poll(self, timeout_s: float = 0.2) -> list[Event]:
        """Read what has come; undecodable records are left to the tasks that own them."""
        fresh = []
        for record in await self._reader.poll(timeout_s):
            try:
                event = Event(self._serde.decode(record.value), Envelope.from_headers(record.headers), record)
            except DecodeError:
                continue
            if isinstance(event.message, SliceClosed):
                self._closed(event, event.message)
            else:
                fresh.append(event)
        self.events += fresh
        return fresh

    def _closed(self, event: Event, closing: SliceClosed) -> None:
        if closing.source == "execution" and closing.stage == "accept":
            places = self._accepted.setdefault(closing.ts_event, set())
            places.add((closing.partition, event.record.partition))

    async def until(self, done: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Read on until a condition holds; raise BrokerError that says what was waited for."""
        try:
            async with asyncio.timeout(timeout_s):
                while not done():
                    await self.poll()
        except TimeoutError:
            raise BrokerError(f"waited {timeout_s:g} s for {what}") from None

    async def slice_done(self, ts: int, partitions: Mapping[str, int], timeout_s: float = 60) -> None:
        """Read on until every pool has finished a slice: the venue's acceptance of its orders is the last act."""
        expected = partitions["instrument"] * partitions["account"]
        await self.until(lambda: len(self._accepted.get(ts, ())) == expected, timeout_s, f"the end of slice {ts}")


@asynccontextmanager
async def tail(
    broker: Broker, serde: Serde, topics: Iterable[str], *, from_beginning: bool = False
) -> AsyncIterator[Tail]:
    """Follow all partitions of the topics."""
    counts = await broker.topics()
    places = [TopicPartition(name, partition) for name in topics for partition in range(counts[name])]
    start = await (broker.beginnings(places) if from_beginning else broker.ends(places))
    async with broker.reader(start) as reader:
        yield Tail(reader, serde)
