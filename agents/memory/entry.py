"""From a record of the log to what memory keeps of it: pure, and the same wherever the record was read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agents.memory.content import fields_of
from agents.memory.keys import position_of, reference_key
from schemas import Message, SliceClosed
from streams.dead_letters import OFFSET, PARTITION, POOL, REASON, REDRIVEN, TOPIC
from streams.errors import DecodeError
from streams.ids import derive_id
from streams.record import Envelope, Received, rfc3339
from streams.serde import Serde
from streams.topics import DEAD_LETTER_SUFFIX

Says = Callable[[Message], str]
"""Puts a message in one line of plain words."""
SUBJECTS = ("run_id", "strategy_id", "account_id", "workflow_id", "order_id")
"""Fields by which events are found, besides correlation, causation and instrument."""
PLACE = ("partition", "offset", "refused_at")
"""Where it stands on the log: all of a document that partitions may change."""


@dataclass(frozen=True)
class Entry:
    """An event as memory keeps it."""

    message_id: str
    position: str
    topic: str
    document: Mapping[str, Any]
    """What a query returns."""
    message: Message | None = None
    """None: a dead letter, or a record that cannot be read."""

    def value(self) -> bytes:
        """Return the document as it is stored."""
        return json.dumps(self.document, ensure_ascii=False, separators=(",", ":"), default=str).encode()


def entry_of(record: Received, serde: Serde, says: Says) -> Entry | None:
    """Return what to keep of a record; None for the closing of a slice, which tells of progress alone."""
    if record.topic.endswith(DEAD_LETTER_SUFFIX):
        return _dead_letter(record, serde)
    try:
        message = serde.decode(record.value)
        if isinstance(message, SliceClosed):
            return None
        return _event(record, message, Envelope.from_headers(record.headers), says)
    except DecodeError as error:
        return _unreadable(record, str(error))


def references_of(document: Mapping[str, Any]) -> set[str]:
    """Return the keys of the ordered sets, besides its topic's, that an event belongs to."""
    chain = {document.get(name) for name in ("correlation_id", "causation_id")} - {document["message_id"]}
    values = chain | {document.get(name) for name in SUBJECTS}
    values.update(symbol_of(name) for name in document.get("instruments", ()))
    return {reference_key(value) for value in values if value}


def symbol_of(name: str) -> str:
    """Return the bare symbol of SYMBOL.VENUE."""
    return name.rpartition(".")[0] or name


def _event(record: Received, message: Message, envelope: Envelope, says: Says) -> Entry:
    ts = _ts_of(message, envelope)
    document = {
        **_heading(record, envelope, ts),
        "type": type(message).__name__,
        **_subjects(message),
        "says": says(message),
        "message": fields_of(message),
    }
    return _entry(record, document, envelope.message_id, envelope.ts_init, ts, message)


def _dead_letter(record: Received, serde: Serde) -> Entry:
    """Keep a dead letter under an id of its own: its headers are those of the record that was refused."""
    headers = dict(record.headers)
    reason, topic, partition, offset, pool = (
        (headers.get(name) or b"").decode(errors="replace") for name in (REASON, TOPIC, PARTITION, OFFSET, POOL)
    )
    envelope = _envelope(record)
    refused = {"reason": reason, "pool": pool, "source_topic": topic, "size": len(record.value or b"")}
    document = {
        **_heading(record, envelope, envelope.ts_init),
        "type": "DeadLetter",
        "source": pool or envelope.source,
        "causation_id": envelope.message_id,
        **_subjects_of_value(record, serde),
        "refused_at": f"{topic}[{partition}]@{offset}",
        "says": f"{pool} refused a record of {topic}: {reason}",
        "message": refused,
    }
    again = [value.decode(errors="replace") for name, value in record.headers if name == REDRIVEN and value]
    message_id = derive_id(envelope.message_id, pool, record.topic, *again)
    return _entry(record, document, message_id, envelope.ts_init, envelope.ts_init)


def _unreadable(record: Received, reason: str) -> Entry:
    envelope = _envelope(record)
    document = {
        **_heading(record, envelope, envelope.ts_init),
        "type": "Unreadable",
        "says": f"a record of {record.topic} cannot be read: {reason}",
        "message": {"reason": reason, "size": len(record.value or b"")},
    }
    message_id = derive_id(envelope.message_id, "memory", record.topic, "unreadable")
    return _entry(record, document, message_id, envelope.ts_init, envelope.ts_init)


def _entry(
    record: Received, document: dict[str, Any], message_id: str, recorded: int, ts: int, message: Message | None = None
) -> Entry:
    position = position_of(recorded, ts, record.topic, message_id)
    document |= {"message_id": message_id, "cursor": position}
    return Entry(message_id, position, record.topic, document, message)


def _heading(record: Received, envelope: Envelope, ts: int) -> dict[str, Any]:
    return {
        "message_id": envelope.message_id,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "type": envelope.type,
        "key": record.key,
        "time": rfc3339(ts),
        "recorded": rfc3339(envelope.ts_init),
        "source": envelope.source,
        "correlation_id": envelope.correlation_id,
        "causation_id": envelope.causation_id,
    }


def _envelope(record: Received) -> Envelope:
    """Return the envelope, or of a record without a sound one what can be said from its content."""
    try:
        return Envelope.from_headers(record.headers)
    except DecodeError:
        name = derive_id(record.topic, "memory", record.key, (record.value or b"").hex(), record.timestamp_ms)
        return Envelope(name, "", "", max(record.timestamp_ms, 0) * 1_000_000, name, name)


def _ts_of(message: Message, envelope: Envelope) -> int:
    known = getattr(message, "ts_event", None)
    if isinstance(known, int):
        return known
    return envelope.ts_init if envelope.slice is None else envelope.slice


def _subjects_of_value(record: Received, serde: Serde) -> dict[str, Any]:
    try:
        return _subjects(serde.decode(record.value))
    except DecodeError:
        return {}


def _subjects(message: Message) -> dict[str, Any]:
    spec = getattr(message, "strategy", None)
    found: dict[str, Any] = {name: getattr(message, name, None) or getattr(spec, name, None) for name in SUBJECTS}
    found["instruments"] = sorted(set(_instruments(message)))
    return {name: value for name, value in found.items() if value}


def _instruments(message: Message) -> Iterator[str]:
    for held in (message, *_parts(message, "positions"), *_parts(message, "instruments")):
        if isinstance(held, str):
            yield held
        elif name := getattr(held, "instrument_id", None):
            yield name
    yield from _parts(getattr(message, "strategy", None), "symbols")


def _parts(holder: Any, name: str) -> tuple[Any, ...]:
    parts = getattr(holder, name, ())
    return parts if isinstance(parts, tuple) else ()
