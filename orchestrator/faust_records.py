"""What Faust reads, in the project's own terms."""

from __future__ import annotations

from typing import Any

from streams.broker import MAX_RECORD_BYTES, partition_of
from streams.errors import Misplaced, Oversized
from streams.record import Envelope, Event, Received, key_of_bytes
from streams.serde import Serde
from streams.topics import topic


def received(message: Any, prefix: str) -> Received:
    """Return the record that a Faust message was."""
    key, odd = key_of_bytes(message.key)
    return Received(
        message.topic.removeprefix(prefix),
        message.partition,
        message.offset,
        key,
        message.value,
        tuple(message.headers or ()),
        round((message.timestamp or 0) * 1000),
        odd,
    )


def decoded(record: Received, serde: Serde, partitions: int) -> Event:
    """Return the event of a command or result, of so many partitions; raise DecodeError that says why it is none."""
    if (size := record.size) > MAX_RECORD_BYTES:
        raise Oversized(f"{size} bytes, expected at most {MAX_RECORD_BYTES}")
    message = serde.decode(record.value)
    if type(message) not in topic(record.topic).types:
        raise Misplaced(f"{type(message).__name__} does not belong on {record.topic}")
    workflow_id = getattr(message, "workflow_id", None)
    if workflow_id != record.key:
        raise Misplaced(f"the key is {record.key!r}, expected the workflow_id {workflow_id!r}")
    # Answers come by key: on another partition they would meet another state, maybe another owner.
    if (own := partition_of(record.key, partitions)) != record.partition:
        raise Misplaced(f"the key {record.key!r} belongs to partition {own} of {record.topic}, not {record.partition}")
    return Event(message, Envelope.from_headers(record.headers), record)
