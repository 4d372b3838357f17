"""Watch the data plane for the slice that heeds what an operator said, and for what came of it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from schemas import KillSwitchChanged, OrderCanceled, SliceClosed
from streams.broker import Broker, Reader
from streams.errors import DecodeError
from streams.record import Envelope, Event, Received, TopicPartition
from streams.serde import Serde
from streams.slices import FEED
from streams.topics import BARS, FILLS, RISK

_CLOSINGS = TopicPartition(BARS.name, 0)
"""Where every slice is closed."""


class Watch:
    """Reads closings of slices, reports and kill switches from where they ended when it was opened."""

    def __init__(self, broker: Broker, serde: Serde, reader: Reader, accepts: int, *, any_slice: bool) -> None:
        self._broker = broker
        self._serde = serde
        self._reader = reader
        self._accepts = accepts
        self.any_slice = any_slice
        """Whether there ever was a slice."""
        self._closed: list[SliceClosed] = []
        self._accepted: dict[int, set[tuple[int, int]]] = defaultdict(set)
        self._reports: list[tuple[int | None, OrderCanceled]] = []
        self._switched: list[Event] = []

    def slice_without(self, run_id: str) -> int | None:
        """Return the first slice in which a run is not active."""
        return next((closing.ts_event for closing in self._closed if run_id not in closing.runs), None)

    def slice_with(self, command_ids: set[str]) -> int | None:
        """Return the first slice by which all of these words on kill switches were told."""
        left = set(command_ids)
        for closing in self._closed:
            left -= {word.command_id for word in closing.switches}
            if not left:
                return closing.ts_event
        return None

    def canceled(self, ts: int | None) -> list[OrderCanceled]:
        """Return the orders that were canceled in a slice."""
        return [report for of, report in self._reports if of == ts and ts is not None]

    def answers(self) -> dict[str, int]:
        """Return the slice in which risk took each word on a kill switch, by the word's command."""
        return {event.envelope.causation_id: event.envelope.slice or 0 for event in self._switched}

    async def finished(self, found: Callable[[], int | None], wait_s: float) -> int | None:
        """Return a slice once it is found and the venue has ended it for every account; None where time runs out."""
        try:
            async with asyncio.timeout(wait_s):
                while (ts := found()) is None or len(self._accepted[ts]) < self._accepts:
                    await self._poll()
                await self._read_on()
                return ts
        except TimeoutError:
            return None

    async def _read_on(self) -> None:
        """Read what risk has said until now: it stands on partitions of its own."""
        ends = await self._broker.ends(await _places(self._broker, RISK.name))
        while any(self._reader.position(place) < end for place, end in ends.items()):
            await self._poll()

    async def _poll(self) -> None:
        for record in await self._reader.poll(0.2):
            try:
                self._learn(record)
            except DecodeError:
                continue

    def _learn(self, record: Received) -> None:
        envelope = Envelope.from_headers(record.headers)
        if record.topic == BARS.name and envelope.type != SliceClosed.__name__:
            return
        message = self._serde.decode(record.value)
        if isinstance(message, SliceClosed):
            if message.source == FEED:
                self._closed.append(message)
            elif message.stage == "accept":
                self._accepted[message.ts_event].add((message.partition, record.partition))
        elif isinstance(message, OrderCanceled):
            self._reports.append((envelope.slice, message))
        elif isinstance(message, KillSwitchChanged):
            self._switched.append(Event(message, envelope, record))


@asynccontextmanager
async def watching(broker: Broker, serde: Serde, partitions: Mapping[str, int]) -> AsyncIterator[Watch]:
    """Watch from now on; partitions: the count of each key family."""
    places = [_CLOSINGS, *await _places(broker, FILLS.name), *await _places(broker, RISK.name)]
    ends = await broker.ends(places)
    async with broker.reader(ends) as reader:
        accepts = partitions["instrument"] * partitions["account"]
        yield Watch(broker, serde, reader, accepts, any_slice=ends[_CLOSINGS] > 0)


async def _places(broker: Broker, name: str) -> Sequence[TopicPartition]:
    return [TopicPartition(name, partition) for partition in range((await broker.topics())[name])]
