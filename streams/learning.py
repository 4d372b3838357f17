"""A broker whose readers learn the schema of each record's writer before they hand the record over.

So decoding never waits, and no reader can forget to ask: a record of a newer release is read as any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from streams.broker import Assigned, Broker, Offsets, Reader, TopicConfig, Transactions
from streams.record import Received, Record, TopicPartition
from streams.serde import Serde


class LearningReader:
    """Reads as the reader that it stands before."""

    def __init__(self, reader: Reader, serde: Serde) -> None:
        self._reader = reader
        self._serde = serde
        self._unlearned: Sequence[Received] = ()

    async def poll(self, timeout_s: float, max_records: int = 5000) -> Sequence[Received]:
        """Return what is there once its schemas are known; raise BrokerError where they cannot be asked for."""
        # What was read and not handed over is not lost to a caller who polls again after the error.
        records = self._unlearned or await self._reader.poll(timeout_s, max_records)
        self._unlearned = records
        await self._serde.learn(record.value for record in records)
        self._unlearned = ()
        return records

    def position(self, partition: TopicPartition) -> int:
        """Return the offset of the next record."""
        return self._reader.position(partition)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Return nothing from these partitions until they are resumed."""
        self._reader.pause(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Undo pause."""
        self._reader.resume(partitions)


class LearningBroker:
    """Does as the broker that it stands before."""

    def __init__(self, broker: Broker, serde: Serde) -> None:
        self._broker = broker
        self._serde = serde

    async def start(self) -> None:
        """Connect."""
        await self._broker.start()

    async def stop(self) -> None:
        """Release every connection."""
        await self._broker.stop()

    async def create_topics(self, topics: Mapping[str, TopicConfig]) -> None:
        """Create the topics that do not exist yet; leave the others as they are."""
        await self._broker.create_topics(topics)

    async def topics(self) -> Mapping[str, int]:
        """Return every topic with its number of partitions."""
        return await self._broker.topics()

    async def publish(self, records: Sequence[Record]) -> Sequence[int]:
        """Append records outside a transaction; return their offsets."""
        return await self._broker.publish(records)

    def transactions(self, task_id: str, group: str | None = None) -> AbstractAsyncContextManager[Transactions]:
        """Take the task over: fence its former owner and settle what it left open."""
        return self._broker.transactions(task_id, group)

    @asynccontextmanager
    async def reader(self, start: Offsets) -> AsyncIterator[LearningReader]:
        """Read the given partitions from the given offsets."""
        async with self._broker.reader(start) as reader:
            yield LearningReader(reader, self._serde)

    async def beginnings(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset kept of each partition."""
        return await self._broker.beginnings(partitions)

    async def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset after the last committed record of each partition."""
        return await self._broker.ends(partitions)

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | None]:
        """Return the first offset whose record timestamp is at or after the given ms; None where there is none."""
        return await self._broker.offsets_for_times(times)

    async def committed(self, task_id: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the input offsets that the task has committed; a partition without one is left out."""
        return await self._broker.committed(task_id, partitions)

    async def join(self, group: str, topic: str, assigned: Assigned, stop: asyncio.Event) -> None:
        """Be a member of a group that shares the topic's partitions, until stop is set."""
        await self._broker.join(group, topic, assigned, stop)
