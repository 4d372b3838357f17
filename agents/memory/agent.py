"""The memory agent: reads the log and writes what is kept of it together with how far it has read, all or nothing.

One agent of a prefix is at work at a time: it holds a lease, and others stand by. Every write demands that the lease
and the offsets in the store are those that the agent goes by. So whatever ends it, and whatever happens to the store,
the next one goes on where the store says, and fills a store that lost its content from the beginning of the log.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agents.memory.availability import Availability
from agents.memory.entry import Entry, Says, entry_of
from agents.memory.keys import OFFSETS, OWNER, ROOT, event_key, topic_key
from agents.memory.latest import keys_of, stored, updated
from agents.memory.limits import MemoryLimits
from agents.memory.shelf import Shelf
from agents.memory.writing import Writing, offsets_of, offsets_value
from streams.broker import Broker, Reader
from streams.clock import Clock
from streams.errors import BrokerError, StoreConflict, StoreError
from streams.record import Received, TopicPartition
from streams.retrying import set_within
from streams.serde import Serde
from streams.store import Changes, Store, conflict
from streams.topics import TOPICS, dead_letters

log = logging.getLogger("finagent.memory")
BATCH = 1000
"""Records written at once."""
BROKER_FAILURES = 5
"""Failures of the broker in a row after which the agent gives up."""
_POLL_S = 0.2
_DROPPED = 1000
Forgotten = Mapping[str, tuple[str, str]]
"""Topic and position by message id."""


@dataclass
class MemoryAgent:
    """Projects the log of a broker into a store."""

    broker: Broker
    store: Store
    limits: MemoryLimits
    says: Says
    clock: Clock
    serde: Serde
    fresh: bool = False
    """True: what the store has is of another log, or is to be read again: it is dropped first."""
    lease_s: float = 6.0
    """A lease that was not renewed for this long is another's to take."""
    handled: int = 0
    """Records that this process has read and written."""
    state: Literal["starting", "standby", "active", "unavailable"] = "starting"
    reason: str = ""
    """Why it is unavailable."""
    availability: Availability = field(default_factory=Availability)
    """Says so, for the whole process."""
    _holder: bytes = field(default_factory=lambda: uuid.uuid4().hex.encode())
    _offsets: bytes | None = None
    _positions: dict[TopicPartition, int] = field(default_factory=dict)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the memory until stop is set; where the store fails, try again and again.

        Raises BrokerError where the broker has failed several times in a row.
        """
        broken = away = 0
        while not stop.is_set():
            before = self.handled
            try:
                await self.store.start()
                await self._own(stop)
            except StoreConflict as error:
                log.warning("the memory agent begins again: %s", error)
            except StoreError as error:
                self._lost(error)
                away = 1 if self.handled > before else away + 1
            except BrokerError as error:
                broken = 1 if self.handled > before else broken + 1
                if broken > BROKER_FAILURES:
                    raise
                log.warning("memory agent: %s; trying again", error)
            await set_within(stop, min(0.1 * 2 ** (broken + away), 5.0))

    async def behind(self) -> dict[str, int]:
        """Return how many offsets of the log are not in memory yet, by topic:partition; of a standby none."""
        ends = await self.broker.ends(list(self._positions))
        return {place.name: end - self._positions[place] for place, end in ends.items()}

    def _lost(self, error: StoreError) -> None:
        self.availability.lost("memory agent", error)
        self.state, self.reason = "unavailable", str(error)

    async def _own(self, stop: asyncio.Event) -> None:
        while not await self._leased():
            if self.state != "standby":
                log.info("another memory agent is at work; standing by")
            self.state, self.reason, self._positions = "standby", "", {}
            self.availability.back("memory agent")
            if await set_within(stop, self.lease_s / 4):
                return
        places = await self.places()
        self._positions = start = await self._start(places)
        shelf = await self._shelf(places)
        async with self.broker.reader(start) as reader:
            if self.state != "active":
                log.info("the memory agent is at work; it holds %d events", len(shelf))
            self.state, self.reason = "active", ""
            self.availability.back("memory agent")
            await self._follow(reader, places, shelf, stop)
        await self._apply(Changes(delete=[OWNER]))

    async def _leased(self) -> bool:
        return await self.store.lease(OWNER, self._holder, self.lease_s)

    async def _apply(self, changes: Changes) -> None:
        await self.store.apply(changes, {OWNER: self._holder, OFFSETS: self._offsets})

    async def places(self) -> list[TopicPartition]:
        """Return the partitions that are read: of every topic and its dead letters; changelogs are no events."""
        counts = await self.broker.topics()
        names = [name for topic in TOPICS for name in (topic, dead_letters(topic)) if name in counts]
        return [TopicPartition(name, partition) for name in names for partition in range(counts[name])]

    async def _start(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where to read on: from the beginning where what the store has does not belong to the log."""
        begins, ends = await self.broker.beginnings(places), await self.broker.ends(places)
        self._offsets = await self.store.get(OFFSETS)
        known = offsets_of(self._offsets)
        if known is not None and any(known.get(place, 0) > end for place, end in ends.items()):
            log.warning("the log ends before what the memory has read of it, so it is another one: reading it whole")
            known = None
        if known is None or self.fresh:
            await self._drop()
            self.fresh, known = False, {}
        missed = sum(max(begin - known.get(place, begin), 0) for place, begin in begins.items())
        if missed:
            log.warning("up to %d records left the log before the memory agent read them", missed)
        return {place: max(known.get(place, 0), begin) for place, begin in begins.items()}

    async def _drop(self) -> None:
        # The offsets go first: a drop that is cut short is then begun again.
        keys = [OFFSETS, *(key for key in await self.store.scan(ROOT) if key not in (OWNER, OFFSETS))]
        for begin in range(0, len(keys), _DROPPED):
            await self._leased()
            await self._apply(Changes(delete=keys[begin : begin + _DROPPED]))
            self._offsets = None

    async def _shelf(self, places: Sequence[TopicPartition]) -> Shelf:
        kept = {}
        for topic in dict.fromkeys(place.topic for place in places):
            await self._leased()
            kept[topic] = [position.decode() for position in await self.store.members(topic_key(topic))]
        return Shelf(self.limits.max_events, kept)

    async def _follow(
        self, reader: Reader, places: Sequence[TopicPartition], shelf: Shelf, stop: asyncio.Event
    ) -> None:
        due, now = 0.0, asyncio.get_running_loop().time
        while not stop.is_set():
            records = await reader.poll(_POLL_S, BATCH)
            if is_due := now() > due:
                await self._renew()
                due = now() + self.lease_s / 6
            if records or is_due:
                await self._write(records, {place: reader.position(place) for place in places}, shelf)

    async def _renew(self) -> None:
        """Keep the lease; raise StoreConflict where another has it, or the content is no longer what it was."""
        if not await self._leased() or await self.store.get(OFFSETS) != self._offsets:
            raise conflict(OWNER, OFFSETS)

    async def _write(self, records: Sequence[Received], offsets: Mapping[TopicPartition, int], shelf: Shelf) -> None:
        """Write what records lead to, and forget what they push out or what has become too old."""
        entries = [entry for record in records if (entry := entry_of(record, self.serde, self.says))]
        fresh, gone = shelf.take(entries, self.clock.now() - round(self.limits.ttl_s * 1e9))
        reached = offsets_value(offsets)
        if not records and not gone and reached == self._offsets:
            return
        writing = Writing()
        await self._forget(gone, writing)
        for entry in fresh:
            writing.keep(entry)
        writing.note_runs(entries)
        writing.put.update(await self._states(entries))
        writing.put[OFFSETS] = reached
        await self._apply(writing.changes())
        self._offsets, self._positions = reached, dict(offsets)
        self.handled += len(records)

    async def _forget(self, gone: Forgotten, writing: Writing) -> None:
        values = await self.store.get_many([event_key(message_id) for message_id in gone])
        for (message_id, (topic, position)), value in zip(gone.items(), values, strict=True):
            writing.forget(topic, position, json.loads(value) if value else {"message_id": message_id})

    async def _states(self, entries: Sequence[Entry]) -> dict[str, bytes]:
        keys = keys_of(entries)
        values = zip(keys, await self.store.get_many(keys), strict=True)
        known = {key: json.loads(value) for key, value in values if value is not None}
        return {key: stored(document) for key, document in updated(known, entries).items()}
