"""Rows by reference: rows stand on the topic `history`; a result says where, how many, and their hash.

The hash is of the content, so that the same rows are written once and loaded once while they are remembered.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ConfigDict

from schemas import BarBlock
from streams.broker import Broker, partition_of
from streams.errors import InvalidData, MissingData
from streams.record import Received, TopicPartition
from streams.serde import Serde
from streams.topics import HISTORY

LOAD_S = 30.0
"""Time to read the rows of a reference."""
MAX_LOADED_ROWS = 500_000
"""Rows of loaded references that a task keeps, of 64 bytes each; the ones used longest ago go first."""
MAX_WRITTEN = 1_000
"""References to written rows that a task remembers."""


class PartitionRange(BaseModel):
    """Offsets [start, end) of one partition."""

    model_config = ConfigDict(frozen=True)
    partition: int
    start: int
    end: int


class Reference(BaseModel):
    """Where the rows of a step's result stand."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    topic: str
    partitions: tuple[PartitionRange, ...]
    count: int
    """Rows in all blocks together."""
    cause: str
    """Message id of the step that wrote them: other rows may stand between them."""
    sha256: str
    """Hash over the blocks' bytes, by instrument and time."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Blocks of bars that a step returns: written to the topic `history` and replaced by a Reference."""

    blocks: tuple[BarBlock, ...]


def is_reference(value: Any) -> bool:
    """Return whether a value of a result is a Reference as JSON."""
    return isinstance(value, Mapping) and set(value) == set(Reference.model_fields)


class Written:
    """References to the rows that a task wrote, by their content."""

    def __init__(self, serde: Serde) -> None:
        self._serde = serde
        self._hashes: WeakKeyDictionary[Rows, str] = WeakKeyDictionary()
        self._known: OrderedDict[str, tuple[Reference, int]] = OrderedDict()

    def hash(self, rows: Rows) -> str:
        """Return the hash of rows; that of the same object is worked out once."""
        if rows not in self._hashes:
            self._hashes[rows] = _sha256(sorted(rows.blocks, key=_order), self._serde)
        return self._hashes[rows]

    def find(self, sha256: str, now: int) -> Reference | None:
        """Return the reference to rows that will be kept for at least half of the topic's retention from now."""
        known = self._known.get(sha256)
        if known is None or now - known[1] > HISTORY.retention_ms * 1_000_000 // 2:
            return None
        self._known.move_to_end(sha256)  # else what is noted next could push it out before it is used
        return known[0]

    def last(self, rows: Rows) -> Reference:
        """Return the reference to rows that were noted or found just now."""
        return self._known[self.hash(rows)][0]

    def note(self, reference: Reference, now: int) -> None:
        """Remember what was written now, ns UTC."""
        self._known[reference.sha256] = (reference, now)
        self._known.move_to_end(reference.sha256)
        if len(self._known) > MAX_WRITTEN:
            self._known.popitem(last=False)


@dataclass
class Loaded:
    """The rows of references, each read and checked once while it is among those used last."""

    broker: Broker
    serde: Serde
    _kept: OrderedDict[Reference, tuple[BarBlock, ...]] = field(default_factory=OrderedDict)
    _loading: dict[Reference, asyncio.Task[tuple[BarBlock, ...]]] = field(default_factory=dict)
    _rows: int = 0

    async def get(self, reference: Reference) -> tuple[BarBlock, ...]:
        """Return the rows of a reference; raises as load does."""
        if reference in self._kept:
            self._kept.move_to_end(reference)
            return self._kept[reference]
        task = self._loading.get(reference)
        if task is None:
            task = self._loading[reference] = asyncio.create_task(load(reference, self.broker, self.serde))
            task.add_done_callback(lambda done: self._keep(reference, done))
        # Shielded: another step may wait for the same rows.
        return await asyncio.shield(task)

    def _keep(self, reference: Reference, done: asyncio.Task[tuple[BarBlock, ...]]) -> None:
        del self._loading[reference]
        if done.cancelled() or done.exception() is not None:
            return
        self._kept[reference] = done.result()
        self._rows += reference.count
        while self._rows > MAX_LOADED_ROWS:
            gone, _ = self._kept.popitem(last=False)
            self._rows -= gone.count


async def load(reference: Reference, broker: Broker, serde: Serde) -> tuple[BarBlock, ...]:
    """Read the rows of a reference, by instrument and time.

    Raises MissingData where the log no longer has them, InvalidData where they are not the ones that it was made for.
    """
    ends = {TopicPartition(reference.topic, part.partition): part.end for part in reference.partitions}
    starts = {TopicPartition(reference.topic, part.partition): part.start for part in reference.partitions}
    blocks: list[tuple[BarBlock, bytes]] = []
    cause = reference.cause.encode()
    async with asyncio.timeout(LOAD_S):
        for place, begin in (await broker.beginnings(list(starts))).items():
            if begin > starts[place]:
                raise MissingData(
                    f"the rows are gone: {place.topic}[{place.partition}] is kept from offset {begin} on, they stand "
                    f"at {starts[place]}; fetch them again"
                )
        async with broker.reader(starts) as reader:
            while any(reader.position(place) < end for place, end in ends.items()):
                for record in await reader.poll(1.0):
                    in_range = record.offset < ends[TopicPartition(record.topic, record.partition)]
                    if in_range and ("causation_id", cause) in record.headers:
                        blocks.append((_block(record, serde), record.value or b""))
    blocks.sort(key=lambda read: _order(read[0]))
    found = tuple(block for block, _ in blocks)
    # As they were written: another release, or another framing, would write other bytes.
    if sum(map(len, found)) != reference.count or _digest(data for _, data in blocks) != reference.sha256:
        raise InvalidData(f"the rows on {reference.topic} are not those of the reference ({reference.count} rows)")
    return found


def refer(blocks: Sequence[BarBlock], placed: Sequence[int], partitions: int, *, cause: str, sha256: str) -> Reference:
    """Return the reference to blocks that a step wrote to the topic `history` at the given offsets."""
    ranges: dict[int, tuple[int, int]] = {}
    for block, offset in zip(blocks, placed, strict=True):
        partition = partition_of(block.instrument_id, partitions)
        start, end = ranges.get(partition, (offset, offset))
        ranges[partition] = (min(start, offset), max(end, offset + 1))
    return Reference(
        topic=HISTORY.name,
        partitions=tuple(PartitionRange(partition=p, start=s, end=e) for p, (s, e) in sorted(ranges.items())),
        count=sum(map(len, blocks)),
        cause=cause,
        sha256=sha256,
    )


def _block(record: Received, serde: Serde) -> BarBlock:
    message = serde.decode(record.value)
    if not isinstance(message, BarBlock):
        raise InvalidData(f"{record.place} holds a {type(message).__name__}, expected a BarBlock")
    return message


def _order(block: BarBlock) -> tuple[str, int]:
    return block.instrument_id, block.base_ts


def _sha256(blocks: Sequence[BarBlock], serde: Serde) -> str:
    return _digest(map(serde.encode, blocks))


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
