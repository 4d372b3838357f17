"""Records on the wire, and the envelope that travels in their headers (CloudEvents 1.0 Kafka binding, binary mode)."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from schemas import Message
from streams.errors import BadHeaders

Headers = Sequence[tuple[str, bytes]]
ONLY_FOR = "redriven_for"
"""Header of a record put back for one pool alone, since the others have handled it."""
MAX_TEXT = 1024
"""Bytes of a header of the envelope at most; every output carries two of its cause's."""
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class TopicPartition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int

    @property
    def name(self) -> str:
        """Return topic:partition."""
        return f"{self.topic}:{self.partition}"


class OddKey(NamedTuple):
    """A key on the log that is no UTF-8 text."""

    data: bytes | None
    """Its bytes; None: a null key."""


def _size(key: str, value: bytes | None, headers: Headers) -> int:
    size = len(key.encode()) + (len(value) if value else 0) + 8 * len(headers)
    for name, held in headers:
        size += len(name) + (len(held) if held else 0)
    return size


def key_of_bytes(data: bytes | None) -> tuple[str, OddKey | None]:
    """Return a key as text, and what it really is where that is no UTF-8."""
    if data is None:
        return "", OddKey(None)
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return data.decode(errors="replace"), OddKey(data)


@dataclass(frozen=True, slots=True)
class Record:
    """What a producer sends; without a partition the key decides (murmur2, as every Kafka client)."""

    topic: str
    key: str
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None
    timestamp_ms: int = 0
    odd_key: OddKey | None = None
    """Written in the key's place, where there is one."""

    @property
    def key_bytes(self) -> bytes | None:
        """Return the key as it is written."""
        return self.key.encode() if self.odd_key is None else self.odd_key.data

    @property
    def size(self) -> int:
        """Return the bytes of key, value and headers, and a little for what stands between them."""
        return _size(self.key, self.value, self.headers)


@dataclass(frozen=True, slots=True)
class Received:
    """What a reader gets, with its place in the log."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    odd_key: OddKey | None = None
    """What really stands in the key's place, where that is no UTF-8 text."""

    @property
    def size(self) -> int:
        """Return the bytes of key, value and headers, and a little for what stands between them."""
        return _size(self.key, self.value, self.headers)

    @property
    def place(self) -> str:
        """Name the record's place, for people."""
        return f"{self.topic}[{self.partition}]@{self.offset}"


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who said it, when, and what led to it."""

    message_id: str
    type: str
    source: str
    """The pool or program that said it."""
    ts_init: int
    """When it was recorded, ns UTC."""
    correlation_id: str
    """The whole chain: a run or a workflow."""
    causation_id: str
    """The direct parent."""
    slice: int | None = None
    """The slice in which it was said, ns UTC; None outside the data plane."""
    traceparent: str | None = None
    """The span that it was said in (W3C Trace Context); None where nothing is traced."""
    only_for: str | None = None
    """The one pool that a record put back from the dead letters is for; None: whoever reads it."""

    def headers(self) -> list[tuple[str, bytes]]:
        """Write the Kafka headers."""
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", self.message_id.encode()),
            ("ce_type", f"finagent.{self.type}".encode()),
            ("ce_source", f"/finagent/{self.source}".encode()),
            ("ce_time", rfc3339(self.ts_init).encode()),
            ("content-type", b"application/avro"),
            ("correlation_id", self.correlation_id.encode()),
            ("causation_id", self.causation_id.encode()),
        ]
        if self.slice is not None:
            headers.append(("slice", str(self.slice).encode()))
        if self.traceparent is not None:
            headers.append(("traceparent", self.traceparent.encode()))
        return headers

    @classmethod
    def from_headers(cls, headers: Headers) -> Envelope:
        """Read the Kafka headers; raise BadHeaders that names a missing one."""
        found: Mapping[str, bytes] = dict(headers)
        try:
            return cls(
                message_id=_text(found, "ce_id"),
                type=_text(found, "ce_type").removeprefix("finagent."),
                source=_text(found, "ce_source").removeprefix("/finagent/"),
                ts_init=nanoseconds(_text(found, "ce_time")),
                correlation_id=_text(found, "correlation_id"),
                causation_id=_text(found, "causation_id"),
                slice=_slice(found["slice"]) if "slice" in found else None,
                traceparent=_traceparent(found.get("traceparent")),
                only_for=_text(found, ONLY_FOR) if ONLY_FOR in found else None,
            )
        except BadHeaders:
            raise
        except (ValueError, OverflowError) as error:
            raise BadHeaders(f"a header is malformed: {error}") from None


@dataclass(frozen=True, slots=True)
class Event:
    """A decoded message with its envelope and its place in the log."""

    message: Message
    envelope: Envelope
    record: Received = field(repr=False)


def _text(headers: Mapping[str, bytes], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise BadHeaders(f"header {name} is missing")
    if len(value) > MAX_TEXT:
        raise BadHeaders(f"header {name} has {len(value)} bytes, expected at most {MAX_TEXT}")
    return value.decode()


def _slice(value: bytes | None) -> int:
    """Return a slice's time; a slice that never comes would hold its record back forever."""
    if not value or not value.isdigit() or len(value) > 19 or (ts := int(value)) >= 2**63:
        raise BadHeaders(f"a header is malformed: slice is {(value or b'')[:40]!r}, expected ns since 1970 below 2**63")
    return ts


def _traceparent(value: bytes | None) -> str | None:
    """Return a well-formed context; a malformed one is no reason to refuse a message (W3C Trace Context 2.3.1)."""
    if value is None or not _TRACEPARENT.fullmatch(value):
        return None
    return value.decode()


def rfc3339(ts: int) -> str:
    """Write ns since 1970 as RFC 3339 with nine decimals."""
    seconds, rest = divmod(ts, 1_000_000_000)
    return f"{_second(seconds)}.{rest:09d}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%S}"


def nanoseconds(time: str) -> int:
    """Read what rfc3339 wrote, with any number of decimals."""
    whole, _, rest = time.removesuffix("Z").partition(".")
    ts = _seconds(whole) * 1_000_000_000 + int(rest.ljust(9, "0")[:9] or 0)
    if not 0 <= ts < 2**63:
        raise ValueError(f"time {time!r} does not lie between 1970 and 2262")
    return ts


@lru_cache(maxsize=4096)
def _seconds(whole: str) -> int:
    parsed = dt.datetime.fromisoformat(whole)
    if parsed.tzinfo is not None:
        raise ValueError(f"time {whole!r} is not in UTC")
    return int(parsed.replace(tzinfo=dt.UTC).timestamp())
