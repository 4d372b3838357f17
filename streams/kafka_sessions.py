"""What a KafkaBroker hands out: readers and transactions."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition

from streams.broker import Follow, Offsets
from streams.errors import BrokerError
from streams.kafka_calls import FENCED, Names, limited, send, stopped, translated
from streams.record import Received, Record, TopicPartition, key_of_bytes
from streams.stalls import Stalls

Require = Callable[[Sequence[Record]], Awaitable[None]]
"""Raises UnknownTopic where a record has no place."""
Ends = Callable[[Sequence[TopicPartition]], Awaitable[Offsets]]
"""Asks for the offsets after the last committed records, by another connection than the reader's."""


class KafkaReader:
    """Reads assigned partitions."""

    def __init__(self, consumer: AIOKafkaConsumer, names: Names, start: dict[TopicPartition, int], ends: Ends) -> None:
        self._names = names
        self._consumer = consumer
        self._positions = start
        self._ends = ends
        self._stalls = Stalls(start, time.monotonic())
        self._paused: set[TopicPartition] = set()

    async def poll(self, timeout_s: float, max_records: int = 5000) -> Sequence[Received]:
        """Return what is there, waiting up to timeout_s for a first record."""
        with translated("READ"):
            batches = await self._consumer.getmany(timeout_ms=max(int(timeout_s * 1000), 0), max_records=max_records)
            for place in self._positions:  # transaction markers take offsets too, and are seen by the consumer alone
                self._positions[place] = await self._consumer.position(self._names.kafka(place))
        received = [self._received(place, record) for place, records in batches.items() for record in records]
        await self._watch()
        return received

    async def _watch(self) -> None:
        """Raise BrokerError where records wait that aiokafka does not bring: it may get stuck when a leader goes."""
        standing = self._stalls.standing(self._positions, self._paused, time.monotonic())
        if standing and (stuck := self._stalls.stuck(await self._ends(standing))):
            places = ", ".join(f"{place.topic}[{place.partition}]@{self._positions[place]}" for place in stuck)
            raise BrokerError(f"nothing comes although records wait: {places}")

    def _received(self, place: KafkaPartition, record: Any) -> Received:
        plain = self._names.plain(place)
        key, odd = key_of_bytes(record.key)
        return Received(
            plain.topic, plain.partition, record.offset, key, record.value, record.headers, record.timestamp, odd
        )

    def position(self, partition: TopicPartition) -> int:
        """Return the offset of the next record."""
        return self._positions[partition]

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Return nothing from these partitions until they are resumed."""
        fresh = set(partitions) - self._paused
        if fresh:
            self._consumer.pause(*map(self._names.kafka, fresh))
            self._paused |= fresh

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Undo pause."""
        held = set(partitions) & self._paused
        if held:
            self._consumer.resume(*map(self._names.kafka, held))
            self._paused -= held
            self._stalls.resumed(held)


class KafkaTransactions:
    """Atomic writes of one task."""

    def __init__(
        self, producer: AIOKafkaProducer, names: Names, group: str, require: Require, timeout_s: float
    ) -> None:
        self._producer = producer
        self._names = names
        self._group = names.full(group)
        self._require = require
        self._timeout_s = timeout_s

    async def commit(
        self, records: Sequence[Record], offsets: Offsets | None = None, follow: Follow | None = None
    ) -> Sequence[int]:
        """Write records, what follows from their offsets, and input offsets, all or nothing."""
        return await limited(self._commit(records, offsets or {}, follow), self._timeout_s)

    async def _commit(self, records: Sequence[Record], offsets: Offsets, follow: Follow | None) -> list[int]:
        try:
            return await self._atomic(records, offsets, follow)
        except FENCED:
            raise
        except Exception:
            # Readers of what was touched would wait for the transaction to time out.
            await stopped(self._producer.abort_transaction())
            raise

    async def _atomic(self, records: Sequence[Record], offsets: Offsets, follow: Follow | None) -> list[int]:
        await self._producer.begin_transaction()
        placed = await self._sent(records)
        following = await self._sent(follow(placed)) if follow is not None else []
        if offsets:
            positions = {self._names.kafka(place): offset for place, offset in offsets.items()}
            await self._producer.send_offsets_to_transaction(positions, self._group)
        await self._producer.commit_transaction()
        return [*placed, *following]

    async def _sent(self, records: Sequence[Record]) -> list[int]:
        await self._require(records)
        return await send(self._producer, records, self._names)
