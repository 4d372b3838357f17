"""What a piece of work leads to, and the records that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from schemas import Message
from streams.clock import Clock
from streams.ids import derive_id
from streams.record import Envelope, Event, Record
from streams.serde import Serde
from streams.topics import key_of, topic_of
from streams.tracing import TaskTrace


@dataclass(frozen=True)
class Output:
    """A message that a handler made, before it has an id."""

    message: Message
    cause: str
    """Message id of the direct parent."""
    correlation: str
    """The run or workflow that it belongs to."""
    topic: str | None = None
    """None: the topic of the message's type."""
    key: str | None = None
    """None: the field that the topic is keyed by."""
    partition: int | None = None
    """None: the key's."""
    message_id: str | None = None
    """None: derived from the cause, the pool, the message's type and key, and its position among such results."""


Follow = Callable[[Sequence[int]], Sequence[Output]]


@dataclass(frozen=True)
class Outputs:
    """What one piece of work led to."""

    first: Sequence[Output] = ()
    follow: Follow | None = None
    """Makes the rest from the offsets of the first, within the same transaction."""
    left: Sequence[Event] = ()
    """Events of the work that are not handled yet; the inbox hands them over again."""


@dataclass(frozen=True)
class Origin:
    """Where outputs come from, as their envelopes tell it."""

    pool: str
    clock: Clock
    slice: int
    """The slice that is being worked on, ns UTC; negative: none yet."""
    trace: TaskTrace | None = None


def records_of(outputs: Iterable[Output], origin: Origin, serde: Serde, *stage: str) -> list[Record]:
    """Make records; stage tells apart what one cause led to at different stages of a commit."""
    counts: dict[tuple[str, ...], int] = {}
    return [_record(output, addressed(output, origin.pool, counts, *stage), origin, serde) for output in outputs]


def _record(output: Output, address: tuple[str, str, str], origin: Origin, serde: Serde) -> Record:
    message, (name, key, message_id), now = output.message, address, origin.clock.now()
    envelope = Envelope(
        message_id=message_id,
        type=type(message).__name__,
        source=origin.pool,
        ts_init=now,
        correlation_id=output.correlation,
        causation_id=output.cause,
        slice=origin.slice if origin.slice >= 0 else None,
        traceparent=origin.trace.traceparent(output) if origin.trace is not None else None,
    )
    return Record(name, key, serde.encode(message), envelope.headers(), output.partition, now // 1_000_000)


def addressed(output: Output, pool: str, counts: dict[tuple[str, ...], int], *stage: str) -> tuple[str, str, str]:
    """Return an output's topic, key and message id; counts tell results of one cause apart and are carried along."""
    message = output.message
    name = output.topic or topic_of(type(message)).name
    key = output.key if output.key is not None else key_of(name, message)
    if output.message_id is not None:
        return name, key, output.message_id
    apart = (output.cause, type(message).__name__, str(getattr(message, "run_id", "")), key)
    counts[apart] = index = counts.get(apart, -1) + 1
    return name, key, derive_id(apart[0], pool, *apart[1:], index, *stage)
