"""Rows by reference: a step's rows stand on the run's own topic; its result says where, how many, and their hash."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from schemas import BarBlock
from streams.broker import Broker, partition_of
from streams.errors import InvalidData
from streams.ids import derive_id
from streams.record import TopicPartition
from streams.serde import Serde

LOAD_S = 30.0
"""Time to read the rows of a reference."""


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
    sha256: str
    """Hash over the blocks' bytes, by instrument and time."""


@dataclass(frozen=True)
class Rows:
    """Blocks of bars that a step returns: written to the run's own topic and replaced by a Reference."""

    blocks: tuple[BarBlock, ...]


def run_topic(workflow_id: str) -> str:
    """Return the topic of a run's own bars; an id that Kafka's names do not allow is hashed."""
    legal = re.fullmatch(r"[A-Za-z0-9_-]{1,150}", workflow_id)
    return f"bt.{workflow_id if legal else derive_id(workflow_id, 'data')}.bars"


def is_reference(value: Any) -> bool:
    """Return whether a value of a result is a Reference as JSON."""
    return isinstance(value, Mapping) and set(value) == set(Reference.model_fields)


async def load(reference: Reference, broker: Broker, serde: Serde) -> list[BarBlock]:
    """Read the rows of a reference; raise InvalidData where they are not the ones that it was made for."""
    blocks: list[BarBlock] = []
    ends = {TopicPartition(reference.topic, part.partition): part.end for part in reference.partitions}
    starts = {TopicPartition(reference.topic, part.partition): part.start for part in reference.partitions}
    async with asyncio.timeout(LOAD_S), broker.reader(starts) as reader:
        while any(reader.position(place) < end for place, end in ends.items()):
            for record in await reader.poll(1.0):
                if record.offset < ends[TopicPartition(record.topic, record.partition)]:
                    block = serde.decode(record.value)
                    assert isinstance(block, BarBlock)
                    blocks.append(block)
    blocks.sort(key=_order)
    if sum(map(len, blocks)) != reference.count or _sha256(blocks, serde) != reference.sha256:
        raise InvalidData(f"the rows on {reference.topic} are not those of the reference ({reference.count} rows)")
    return blocks


def refer(name: str, blocks: Sequence[BarBlock], placed: Sequence[int], partitions: int, serde: Serde) -> Reference:
    """Return the reference to blocks that were written at the given offsets, keyed by instrument."""
    ranges: dict[int, tuple[int, int]] = {}
    for block, offset in zip(blocks, placed, strict=True):
        partition = partition_of(block.instrument_id, partitions)
        start, end = ranges.get(partition, (offset, offset))
        ranges[partition] = (min(start, offset), max(end, offset + 1))
    return Reference(
        topic=name,
        partitions=tuple(PartitionRange(partition=p, start=s, end=e) for p, (s, e) in sorted(ranges.items())),
        count=sum(map(len, blocks)),
        sha256=_sha256(sorted(blocks, key=_order), serde),
    )


def _order(block: BarBlock) -> tuple[str, int]:
    return block.instrument_id, block.base_ts


def _sha256(blocks: Sequence[BarBlock], serde: Serde) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(serde.encode(block))
    return digest.hexdigest()
