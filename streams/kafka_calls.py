"""Calls to aiokafka: each with a time limit, its errors in the project's words, names with the prefix."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.commit import OffsetFetchRequest

from streams.broker import check_size
from streams.errors import BrokerError, Fenced, RecordTooLarge, UnknownTopic
from streams.kafka_denials import DENIED, denial_in, denied
from streams.record import Record, TopicPartition

log = logging.getLogger("finagent.kafka")
T = TypeVar("T")
COORDINATOR_PAUSE_S = 0.1
"""Between two questions for a group's coordinator."""
STOP_S = 5.0
"""How long a client may take to stop."""
FENCED = (
    kafka_errors.ProducerFenced,
    kafka_errors.InvalidProducerEpoch,
    kafka_errors.OutOfOrderSequenceNumber,
    kafka_errors.UnknownProducerId,
)


UNCOORDINATED = (
    kafka_errors.GroupCoordinatorNotAvailableError,
    kafka_errors.GroupLoadInProgressError,
    kafka_errors.NotCoordinatorForGroupError,
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
    with translated():
        return await asyncio.wait_for(call, timeout_s)


@contextmanager
def translated(operation: str = "a right") -> Iterator[None]:
    """Have aiokafka's errors be the project's; operation: what is denied where something is.

    A future within aiokafka that is cancelled while nobody has cancelled this task is such an error, too: as a
    cancellation it would end the task unheard.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        running = asyncio.current_task()
        if running is None or running.cancelling():
            raise
        raise BrokerError("aiokafka cancelled a call") from error
    except DENIED as error:
        raise denied(error, operation) from error
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
        except UNCOORDINATED:
            await asyncio.sleep(COORDINATOR_PAUSE_S)


async def offsets_of_group(
    admin: AIOKafkaAdminClient, group: str, places: Sequence[KafkaPartition]
) -> dict[KafkaPartition, int]:
    """Return the offsets that a group has committed; raise what its coordinator answers instead of them.

    aiokafka's own question does not look at the error of an answer as a whole: of a coordinator that is still loading
    it makes a group that has committed nothing.
    """
    asked: dict[str, list[int]] = {}
    for topic, partition in places:
        asked.setdefault(topic, []).append(partition)
    request = OffsetFetchRequest(group, list(asked.items()))
    answer = await admin._send_request(request, await admin.find_coordinator(group))
    told = [(KafkaPartition(name, at), offset, code) for name, parts in answer.topics for at, offset, _, code in parts]
    for code in (answer.error_code, *(code for _, _, code in told)):
        if code:
            raise kafka_errors.for_code(code)(f"no offsets of the group {group}")
    return {place: offset for place, offset, _ in told if offset >= 0}


async def send(producer: AIOKafkaProducer, records: Sequence[Record], names: Names) -> list[int]:
    """Send records and return their offsets once every one is acknowledged; one that is too large lets none be sent."""
    for record in records:
        check_size(record)
    futures = [await _begun(producer, record, names) for record in records]
    # A batch that fails for good lets the commit succeed, so every send is awaited before it.
    sent = await asyncio.gather(*futures, return_exceptions=True)
    return [_offset(metadata) for metadata in sent]


async def _begun(producer: AIOKafkaProducer, record: Record, names: Names) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = await producer.send(
        names.full(record.topic),
        record.value,
        record.key_bytes,
        partition=record.partition,
        timestamp_ms=record.timestamp_ms or None,
        headers=list(record.headers),
    )
    future.add_done_callback(seen)  # where a later one cannot be begun, nobody waits for this one
    return future


def _offset(sent: Any) -> int:
    if isinstance(sent, DENIED):
        raise denied(sent, "WRITE") from sent
    if isinstance(sent, BaseException):
        raise sent
    return int(sent.offset)


async def stopped(stopping: Awaitable[object]) -> None:
    """Wait a bounded time for a client to stop; one that hangs on, also when cancelled, is left behind."""
    ending = asyncio.ensure_future(stopping)
    ending.add_done_callback(seen)
    try:
        await asyncio.wait([ending], timeout=STOP_S)
    finally:
        ending.cancel()


def seen(future: asyncio.Future[Any]) -> None:
    """Take note of how a future ended: its error is not logged as one that nobody has asked for."""
    if not future.cancelled() and (error := future.exception()) is not None:
        log.debug("a client that was given up said: %r", error)
