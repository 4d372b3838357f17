"""What a task takes in: whether a record is for it, and the event that the record holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas import KillSwitchSet, Message, SliceClosed
from streams.broker import MAX_RECORD_BYTES, partition_of
from streams.errors import Misplaced, Oversized
from streams.processor import Processor
from streams.record import Envelope, Event, Received
from streams.serde import Serde
from streams.topics import key_of, topic


@dataclass(frozen=True)
class Intake:
    """How a task reads records."""

    processor: Processor
    partitions: Mapping[str, int]
    """Partition count of each key family."""
    serde: Serde

    def decode(self, record: Received) -> Event:
        """Return the event of a record; raise DecodeError for what is none, or does not belong where it stands."""
        if (size := record.size) > MAX_RECORD_BYTES:
            raise Oversized(f"{size} bytes, expected at most {MAX_RECORD_BYTES}")
        message = self.serde.decode(record.value)
        on = topic(record.topic)
        if type(message) not in on.types:
            raise Misplaced(f"{type(message).__name__} does not belong on {record.topic}")
        event = Event(message, Envelope.from_headers(record.headers), record)
        if not isinstance(message, SliceClosed):  # every partition has its own
            check_key(record, record.partition, message, self.partitions[on.family])
        return event

    def is_for_others(self, record: Received) -> bool:
        """Return whether the processor names whom a topic's records are addressed to, and this one is not for it."""
        only = getattr(self.processor, "only", {}).get(record.topic)
        if only is None:
            return False
        field, values = only
        value = self.serde.peek(record.value, field)
        return value is not None and value not in values


def check_key(record: Received, partition: int, message: Message, partitions: int) -> None:
    """Raise Misplaced for a record under another key, or on another partition of so many, than its message's."""
    has_own = hasattr(message, topic(record.topic).key) or isinstance(message, KillSwitchSet)
    key = key_of(record.topic, message) if has_own else record.key
    if record.key != key or record.odd_key is not None:
        raise Misplaced(f"the key is {record.key!r}, expected {key!r}")
    if not topic(record.topic).spread and (own := partition_of(key, partitions)) != partition:
        raise Misplaced(f"the key {key!r} belongs to partition {own} of {record.topic}, not {partition}")
