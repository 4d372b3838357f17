"""Calls to aiokafka: each with a time limit, its errors in the project's words, names with the prefix."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors as kafka_errors

from streams.broker import MAX_LETTER_BYTES, check_size
from streams.errors import BrokerError, Fenced, RecordTooLarge, UnknownTopic
from streams.kafka_denials import DENIED, denial_in, denied
from streams.record import Record, TopicPartition

log = logging.getLogger("finagent.kafka")
T = TypeVar("T")
COORDINATOR_PAUSE_S = 0.1
"""Between two questions for a group's coordinator."""
MAX_REQUEST_BYTES = MAX_LETTER_BYTES + 1_000_000
"""Of a producer; each record's own limit is lower."""
FENCED = (
    kafka_errors.ProducerFenced,
    kafka_errors.InvalidProducerEpoch,
    kafka_errors.OutOfOrderSequenceNumber,
    kafka_errors.UnknownProducerId,
)


@dataclass(frozen=True)
class Names:
    """Topics, groups and transactional ids as they are called on the cluster."""

    prefix: str

    def full(self, name: str) -> str:
        """Return a name on the cluster."""
        return self.prefix + name

    def kafka(self, place: TopicPartition) -> KafkaPartition:
        """Return a partition on the cluster."""
        return KafkaPartition(self.full(place.topic), place.partition)

    def plain(self, place: KafkaPartition) -> TopicPartition:
        """Return a partition as the project calls it."""
        return TopicPartition(place.topic.removeprefix(self.prefix), place.partition)


async def limited(call: Awaitable[T], timeout_s: float) -> T:
    """Wait within a time limit; aiokafka's errors become BrokerError, Fenced or SecurityError."""
    try:
        return await asyncio.wait_for(call, timeout_s)
    except DENIED as error:
        raise denied(error) from error
    except FENCED as error:
        raise Fenced(f"the task has a new owner: {error!r}") from error
    except kafka_errors.UnknownTopicOrPartitionError as error:
        raise UnknownTopic(str(error)) from error
    except kafka_errors.MessageSizeTooLargeError as error:
        raise RecordTooLarge(f"a record is larger than its topic's max.message.bytes: {error}") from error
    except (kafka_errors.KafkaError, TimeoutError, OSError) as error:
        if (denial := denial_in(error)) is not None:
            raise denied(denial) from error
        raise BrokerError(repr(error)) from error


async def coordinated(call: Callable[[], Awaitable[T]]) -> T:
    """Ask a group's coordinator again until there is one: a new cluster makes it only when it is first asked for."""
    while True:
        try:
            return await call()
        except (kafka_errors.GroupCoordinatorNotAvailableError, kafka_errors.NotCoordinatorForGroupError):
            await asyncio.sleep(COORDINATOR_PAUSE_S)


async def send(producer: AIOKafkaProducer, records: Sequence[Record], names: Names) -> list[int]:
    """Send records and return their offsets once every one is acknowledged; one that is too large lets none be sent."""
    for record in records:
        check_size(record)
    futures = [
        await producer.send(
            names.full(record.topic),
            record.value,
            record.key_bytes,
            partition=record.partition,
            timestamp_ms=record.timestamp_ms or None,
            headers=list(record.headers),
        )
        for record in records
    ]
    # A batch that fails for good lets the commit succeed, so every send is awaited before it.
    sent = await asyncio.gather(*futures, return_exceptions=True)
    return [_offset(metadata) for metadata in sent]


def _offset(sent: Any) -> int:
    if isinstance(sent, DENIED):
        raise denied(sent, "WRITE") from sent
    if isinstance(sent, BaseException):
        raise sent
    return int(sent.offset)


async def stopped(stopping: Awaitable[object]) -> None:
    """Wait a bounded time for a client to stop; one that hangs is left behind."""
    try:
        await asyncio.wait_for(stopping, 5)
    except Exception as error:
        log.debug("a client did not stop cleanly: %r", error)
