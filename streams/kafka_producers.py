"""Producers as this system needs them: those of aiokafka give up where waiting would do."""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka_errors

from streams.broker import MAX_LETTER_BYTES
from streams.kafka_calls import seen, stopped

MAX_REQUEST_BYTES = MAX_LETTER_BYTES + 1_000_000
"""Each record's own limit is lower."""


def producer_of(timeout_s: float, **options: Any) -> AIOKafkaProducer:
    """Return a producer that keeps what it was given for up to timeout_s while leaders and coordinators change."""
    producer = AIOKafkaProducer(acks="all", enable_idempotence=True, max_request_size=MAX_REQUEST_BYTES, **options)
    # aiokafka has one time limit for an answer and for a delivery, which may take several answers.
    producer._request_timeout_ms = timeout_s * 1000
    producer._message_accumulator._batch_ttl = timeout_s
    _asking_on(producer.client)
    _failing_quietly(producer._message_accumulator)
    return producer


def _asking_on(client: Any) -> None:
    """Have a lost connection be one more reason to ask for a coordinator again: to aiokafka it ends the producer."""
    lookup = client.coordinator_lookup

    async def asked(kind: int, key: str) -> Any:
        try:
            return await lookup(kind, key)
        except kafka_errors.KafkaConnectionError as error:
            raise kafka_errors.CoordinatorNotAvailableError(str(error)) from error

    client.coordinator_lookup = asked


def _failing_quietly(accumulator: Any) -> None:
    """Have nobody miss the errors of batches that were never sent: each message of theirs has its own."""
    fail_all = accumulator.fail_all

    def failed(error: BaseException) -> None:
        unsent = [batch for batches in accumulator._batches.values() for batch in batches]
        fail_all(error)
        for batch in unsent:
            batch._drain_waiter.add_done_callback(seen)

    accumulator.fail_all = failed


async def closed(producer: AIOKafkaProducer) -> None:
    """Stop a producer; whoever wrote with it was told why its last transaction failed."""
    await stopped(producer.stop())
    manager = producer._txn_manager
    if manager is not None and manager._transaction_waiter is not None:
        manager._transaction_waiter.add_done_callback(seen)
