"""Records on the wire, and the envelope that travels in their headers (CloudEvents 1.0 Kafka binding, binary mode)."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from schemas import Message
from streams.errors import DecodeError

Headers = Sequence[tuple[str, bytes]]
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class TopicPartition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Record:
    """What a producer sends; without a partition the key decides (murmur2, as every Kafka client)."""

    topic: str
    key: str
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None
    timestamp_ms: int = 0


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
        """Read the Kafka headers; raise DecodeError that names a missing one."""
        found: Mapping[str, bytes] = dict(headers)
        try:
            return cls(
                message_id=_text(found, "ce_id"),
                type=_text(found, "ce_type").removeprefix("finagent."),
                source=_text(found, "ce_source").removeprefix("/finagent/"),
                ts_init=nanoseconds(_text(found, "ce_time")),
                correlation_id=_text(found, "correlation_id"),
                causation_id=_text(found, "causation_id"),
                slice=int(found["slice"]) if "slice" in found else None,
                traceparent=_traceparent(found.get("traceparent")),
            )
        except DecodeError:
            raise
        except ValueError as error:
            raise DecodeError(f"a header is malformed: {error}") from None


@dataclass(frozen=True, slots=True)
class Event:
    """A decoded message with its envelope and its place in the log."""

    message: Message
    envelope: Envelope
    record: Received = field(repr=False)


def _text(headers: Mapping[str, bytes], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise DecodeError(f"header {name} is missing")
    return value.decode()


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
    return _seconds(whole) * 1_000_000_000 + int(rest.ljust(9, "0")[:9] or 0)


@lru_cache(maxsize=4096)
def _seconds(whole: str) -> int:
    parsed = dt.datetime.fromisoformat(whole)
    if parsed.tzinfo is not None:
        raise ValueError(f"time {whole!r} is not in UTC")
    return int(parsed.replace(tzinfo=dt.UTC).timestamp())
