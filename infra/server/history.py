"""The newest records of one kind, in the order of the log, and pages of them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from infra.server.problems import Refused
from schemas import Message
from streams.record import Envelope, Event

M = TypeVar("M")


class Place(NamedTuple):
    """Where a record stands; records are ordered by it, whichever way partitions were read."""

    timestamp_ms: int
    partition: int
    offset: int

    def __str__(self) -> str:
        return ".".join(map(str, self))


@dataclass(frozen=True, slots=True, order=True)
class Seen(Generic[M]):
    """A message of the log, without the bytes that carried it."""

    place: Place
    id: str = field(compare=False)
    topic: str = field(compare=False)
    source: str = field(compare=False)
    correlation_id: str = field(compare=False)
    causation_id: str = field(compare=False)
    message: M = field(compare=False)


def seen_of(event: Event) -> Seen[Message]:
    """Return what is kept of an event."""
    record, said = event.record, event.envelope
    place = Place(record.timestamp_ms, record.partition, record.offset)
    return _seen(place, record.topic, said, event.message)


def _seen(place: Place, topic: str, said: Envelope, message: Message) -> Seen[Message]:
    return Seen(place, said.message_id, topic, said.source, said.correlation_id, said.causation_id, message)


@dataclass
class History(Generic[M]):
    """The newest records, at most `limit` of them, oldest first."""

    limit: int
    forgotten: Callable[[M], None] = lambda message: None
    """Told each message that falls out."""
    items: list[Seen[M]] = field(default_factory=list)
    total: int = 0
    """All that were ever added."""

    def add(self, seen: Seen[M]) -> None:
        """Add a record; it usually is the newest."""
        self.total += 1
        insort(self.items, seen)
        spare = max(self.limit // 10, 1)
        if len(self.items) >= self.limit + spare:
            for each in self.items[: -self.limit]:
                self.forgotten(each.message)
            del self.items[: -self.limit]

    def page(
        self, limit: int, cursor: str | None, matches: Callable[[Seen[M]], bool] = lambda seen: True
    ) -> tuple[list[Seen[M]], str | None]:
        """Return the newest matching records before the cursor, newest first, and the cursor of the next page."""
        end = len(self.items) if cursor is None else bisect_left(self.items, place_of(cursor), key=lambda s: s.place)
        found: list[Seen[M]] = []
        for index in range(end - 1, -1, -1):
            if matches(self.items[index]):
                if len(found) == limit:
                    return found, str(found[-1].place)
                found.append(self.items[index])
        return found, None


def place_of(cursor: str) -> Place:
    """Read a cursor; raise Refused where it is none."""
    parts = cursor.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
        raise Refused(422, f"cursor {cursor[:40]!r} is none that a list gave as next")
    return Place(*map(int, parts))
