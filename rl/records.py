"""What the store tells of a training: episodes, segments of transitions, actors, policies; never the rows themselves.

It is a projection of the log, written together with how far the log was read, so that it can be dropped and built again
at any time. Losing the store stops nothing: what was missed is read once it is back.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from agents.memory.availability import Availability
from rl.ingest import Chunk, Intake, chunk_of
from rl.published import PLACE
from rl.rows import Layout
from rl.streaming import actors_policy, partitions_of_transitions
from schemas import PolicyPublished
from schemas.message import canonical_json
from streams.broker import Broker, Reader
from streams.errors import BrokerError, DecodeError, StoreConflict, StoreError
from streams.record import Received, TopicPartition
from streams.serde import Serde
from streams.store import Changes, Store
from streams.topics import POLICIES, TRANSITIONS

log = logging.getLogger("finagent.rl")
KEPT = 10_000
"""Newest episodes, and newest segments, that are kept of a training."""
NAMES = ("offsets", "actors", "episodes", "segments", "policy")
_POLL_S, _BATCH = 0.2, 64
_AGAIN_S = (0.1, 2.0)
"""Time before the store is tried again: at first, and at most."""


def key(training_id: str, name: str) -> str:
    """Return the key of one of NAMES."""
    return f"rl:{training_id}:{name}"


class _Newest:
    """The highest members of an ordered set, however they come."""

    def __init__(self, members: Sequence[bytes]) -> None:
        self._heap = list(members)
        heapq.heapify(self._heap)
        self.added: set[bytes] = set()
        self.removed: set[bytes] = set()

    def add(self, member: bytes) -> None:
        heapq.heappush(self._heap, member)
        self.added.add(member)
        while len(self._heap) > KEPT:
            gone = heapq.heappop(self._heap)
            if gone in self.added:
                self.added.discard(gone)
            else:
                self.removed.add(gone)


@dataclass
class Records:
    """Keeps a training's records in a store."""

    broker: Broker
    store: Store
    training_id: str
    layout: Layout
    serde: Serde = field(default_factory=Serde)
    _offsets: bytes | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Keep them until stop is set, and then up to what the log has by then, where the store is there."""
        available, wait_s, availability = True, _AGAIN_S[0], Availability()
        while not stop.is_set():
            try:
                await self.store.start()
                if not available:
                    log.info("the store is back: the records of training %s go on", self.training_id)
                available, wait_s = True, _AGAIN_S[0]
                availability.back("records")
                await self._follow(stop)
            except StoreConflict as error:
                log.warning("the records of training %s begin again: %s", self.training_id, error)
            except StoreError as error:
                availability.lost("records", error)
                available = False
            except BrokerError as error:
                log.warning("the records of training %s: %s; trying again", self.training_id, error)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wait_s)
            wait_s = min(2 * wait_s, _AGAIN_S[1])

    async def rebuild(self) -> None:
        """Drop what the store has and read the log again, to where it ends now; raise StoreError where it fails."""
        await self.store.apply(Changes(delete=[key(self.training_id, name) for name in NAMES]))
        await self._follow(None)

    async def _follow(self, stop: asyncio.Event | None) -> None:
        """Write what the log says from where the store stands; no stop: to the log's end."""
        places = [
            *(TopicPartition(TRANSITIONS.name, p) for p in range(await partitions_of_transitions(self.broker))),
            PLACE,
        ]
        start = await self._start(places)
        self._episodes = _Newest(await self.store.members(key(self.training_id, "episodes")))
        self._segments = _Newest(await self.store.members(key(self.training_id, "segments")))
        self._actors = await self._json("actors")
        self._policy = await self._json("policy")
        async with self.broker.reader(start) as reader:
            while stop is not None and not stop.is_set():
                await self._write(reader, places, await reader.poll(_POLL_S, _BATCH))
            ends = await self.broker.ends(places)
            while any(reader.position(place) < end for place, end in ends.items()):
                await self._write(reader, places, await reader.poll(_POLL_S, _BATCH))

    async def _start(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        begins, ends = await self.broker.beginnings(places), await self.broker.ends(places)
        self._offsets = await self.store.get(key(self.training_id, "offsets"))
        known = json.loads(self._offsets) if self._offsets else {}
        reached = {place: known.get(place.name, 0) for place in places}
        if any(reached[place] > end for place, end in ends.items()):
            log.warning("the log ends before what the records of training %s hold: reading it whole", self.training_id)
            await self.store.apply(Changes(delete=[key(self.training_id, name) for name in NAMES]))
            self._offsets, reached = None, begins
        return {place: max(reached[place], begins[place]) for place in places}

    async def _json(self, name: str) -> dict[str, Any]:
        found = await self.store.get(key(self.training_id, name))
        return dict(json.loads(found)) if found else {}

    async def _write(self, reader: Reader, places: Sequence[TopicPartition], records: Sequence[Received]) -> None:
        await self.serde.learn(record.value for record in records)
        for record in records:
            self._take(record)
        reached = {place.name: reader.position(place) for place in places}
        offsets = canonical_json(reached).encode()
        if offsets == self._offsets:
            return
        changed = {"episodes": self._episodes, "segments": self._segments}
        put = {"offsets": offsets, "actors": _bytes(self._actors), "policy": _bytes(self._policy)}
        changes = Changes(
            remove={key(self.training_id, name): each.removed for name, each in changed.items() if each.removed},
            put={key(self.training_id, name): value for name, value in put.items()},
            add={key(self.training_id, name): each.added for name, each in changed.items() if each.added},
        )
        await self.store.apply(changes, {key(self.training_id, "offsets"): self._offsets})
        self._offsets = offsets
        for each in changed.values():
            each.added, each.removed = set(), set()

    def _take(self, record: Received) -> None:
        try:
            if record.topic == POLICIES.name:
                self._take_policy(record)
            elif (chunk := chunk_of(record, self.serde, self.training_id, self.layout)) is not None:
                self._take_chunk(chunk, record.timestamp_ms)
        except DecodeError:
            return  # the learner writes its dead letter

    def _take_chunk(self, chunk: Chunk, at_ms: int) -> None:
        actor = self._actors.setdefault(chunk.actor_id, dict.fromkeys(("chunks", "transitions", "episodes"), 0))
        seen = Intake({chunk.actor_id: (actor["epoch"], actor["sequence"] + 1)} if "epoch" in actor else {})
        if seen.verdict(chunk) != "fresh":
            return
        actor |= {"epoch": chunk.epoch, "sequence": chunk.sequence, "policy_version": chunk.policy_version}
        actor |= {"partition": chunk.partition, "offset": chunk.offset, "at_ms": at_ms}
        actor["chunks"] += 1
        actor["transitions"] += chunk.transitions
        actor["episodes"] += len(chunk.episodes)
        place = f"{at_ms:016d} {chunk.partition:05d} {chunk.offset:019d}"
        told = {"actor_id": chunk.actor_id, "epoch": chunk.epoch, "policy_version": chunk.policy_version}
        segment = {**told, "sequence": chunk.sequence, "transitions": chunk.transitions}
        self._segments.add(f"{place} {canonical_json(segment)}".encode())
        for index, episode in enumerate(chunk.episodes):
            figures = {**told, "reward": episode.reward, "steps": episode.steps}
            self._episodes.add(f"{place} {index:05d} {canonical_json(figures)}".encode())

    def _take_policy(self, record: Received) -> None:
        """Keep the newest version, its figures, the versions before it and the priorities of segments."""
        if record.key != actors_policy(self.training_id) or not record.value:
            return
        message = self.serde.decode(record.value)
        if isinstance(message, PolicyPublished) and message.version > self._policy.get("version", 0):
            told = {"version": message.version, "sha256": message.sha256, "algorithm": message.algorithm}
            self._policy = {**message.metadata, **told, "ts_event": message.ts_event}


def _bytes(document: Mapping[str, Any]) -> bytes:
    return canonical_json(document).encode()


async def contents(store: Store, training_id: str) -> dict[str, Any]:
    """Return a training's records but the offsets: actors, policy, and episodes and segments, oldest first."""
    found: dict[str, Any] = {}
    for name in ("actors", "policy"):
        value = await store.get(key(training_id, name))
        found[name] = json.loads(value) if value else {}
    for name, words in (("episodes", 4), ("segments", 3)):
        members = await store.members(key(training_id, name))
        parts = [member.decode().split(" ", words) for member in members]
        found[name] = [
            {"at_ms": int(part[0]), "partition": int(part[1]), "offset": int(part[2]), **json.loads(part[words])}
            for part in parts
        ]
    return found
