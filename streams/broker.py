"""The broker port: what the project asks of Kafka, in a few words that an in-memory log can keep too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from aiokafka.partitioner import murmur2

from streams.errors import RecordTooLarge
from streams.record import Received, Record, TopicPartition
from streams.topics import DEAD_LETTER_SUFFIX

MAX_RECORD_BYTES = 1_000_000
"""Key, value and headers of a record at most: a little less than a Kafka topic takes by default."""
MAX_LETTER_BYTES = 100_000_000
"""Of a dead letter, which holds a whole record of any topic and more: as much as Kafka takes in one request."""
Offsets = Mapping[TopicPartition, int]
Follow = Callable[[Sequence[int]], Sequence[Record]]
"""Makes more records from the offsets at which the first ones stand."""
Assigned = Callable[[frozenset[int]], Awaitable[None]]
"""Told the partitions that a member owns from now on; it returns when the others are given up.

Another member may own those by then: taking a task over fences its former owner. It may be told again before it
returns.
"""


@dataclass(frozen=True)
class TopicConfig:
    """How a topic is made."""

    partitions: int
    compacted: bool = False
    retention_ms: int = 0
    """How long records are kept, in ms; 0: as the broker's default says."""
    max_bytes: int = 0
    """Largest record that it takes; 0: MAX_RECORD_BYTES."""


class Reader(Protocol):
    """Reads assigned partitions in offset order; sees committed records only."""

    async def poll(self, timeout_s: float, max_records: int = 5000) -> Sequence[Received]:
        """Return what is there, waiting up to timeout_s for a first record."""
        ...

    def position(self, partition: TopicPartition) -> int:
        """Return the offset of the next record."""
        ...

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Return nothing from these partitions until they are resumed."""
        ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Undo pause."""
        ...


class Transactions(Protocol):
    """Atomic writes of one task; making a new one for the same task fences this one."""

    async def commit(
        self, records: Sequence[Record], offsets: Offsets | None = None, follow: Follow | None = None
    ) -> Sequence[int]:
        """Write records, then what follow makes of their offsets, and the task's input offsets, all or nothing.

        Returns the offsets of the records, then of what followed. Raises Fenced where another owner has taken over,
        BrokerError otherwise; after either this object is of no more use.
        """
        ...


class Broker(Protocol):
    """A partitioned, durable log with transactions and consumer groups."""

    async def start(self) -> None:
        """Connect."""
        ...

    async def stop(self) -> None:
        """Release every connection."""
        ...

    async def create_topics(self, topics: Mapping[str, TopicConfig]) -> None:
        """Create the topics that do not exist yet; leave the others as they are."""
        ...

    async def topics(self) -> Mapping[str, int]:
        """Return every topic with its number of partitions."""
        ...

    async def publish(self, records: Sequence[Record]) -> Sequence[int]:
        """Append records outside a transaction; return their offsets."""
        ...

    def transactions(self, task_id: str, group: str | None = None) -> AbstractAsyncContextManager[Transactions]:
        """Take the task over: fence its former owner and settle what it left open.

        group: the one that input offsets are committed under; None: named as the task.
        """
        ...

    def reader(self, start: Offsets) -> AbstractAsyncContextManager[Reader]:
        """Read the given partitions from the given offsets."""
        ...

    async def beginnings(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset kept of each partition."""
        ...

    async def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset after the last committed record of each partition."""
        ...

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | None]:
        """Return the first offset whose record timestamp is at or after the given ms; None where there is none."""
        ...

    async def committed(self, task_id: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the input offsets that the task has committed; a partition without one is left out."""
        ...

    async def join(self, group: str, topic: str, assigned: Assigned, stop: asyncio.Event) -> None:
        """Be a member of a group that shares the topic's partitions, until stop is set.

        As few partitions move as an even share allows, and a member keeps what it has while others come and go. It
        owns nothing any more when this returns or raises.
        """
        ...


def check_size(record: Record) -> None:
    """Raise RecordTooLarge for a record that is larger than its topic takes.

    It must not come to the broker's own refusal: that breaks the sequence of an idempotent producer, which is then
    refused everything.
    """
    limit = MAX_LETTER_BYTES if record.topic.endswith(DEAD_LETTER_SUFFIX) else MAX_RECORD_BYTES
    if (size := record.size) > limit:
        cause = next((value for name, value in record.headers if name == "causation_id"), None) or b""
        raise RecordTooLarge(
            f"a record of {size} bytes for {record.topic}, expected at most {limit}", cause.decode(errors="replace")
        )


@lru_cache(maxsize=65536)
def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a key as Kafka's default partitioner (murmur2) chooses it."""
    return int((murmur2(key.encode()) & 0x7FFFFFFF) % partitions)
