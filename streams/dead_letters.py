"""Dead letters: records that no handler can take, kept whole with the reason; and what a letter says."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from streams.errors import DecodeError, MissingData
from streams.record import ONLY_FOR, Headers, OddKey, Received, Record, TopicPartition
from streams.topics import DEAD_LETTER_SUFFIX, dead_letters

REASON, TOPIC, PARTITION, OFFSET, POOL, KIND, TIMESTAMP, KEY = (
    f"dlq_{name}" for name in ("reason", "topic", "partition", "offset", "pool", "kind", "timestamp_ms", "key")
)
_TYPE, _CLOSING = "ce_type", b"finagent.SliceClosed"
REDRIVEN = "redriven"
"""Header of a record that was put back, once for each time: the place of the letter that it was put back from."""
HANDLER = "handler"
"""Kind of the records whose handler raised; the other kinds are those of DecodeError."""
KINDS = (*sorted({DecodeError.kind, *(each.kind for each in DecodeError.__subclasses__())}), HANDLER)
MAX_REASON = 2000
"""Characters of a reason that are kept."""


@dataclass(frozen=True)
class Refusal:
    """Why a record was refused, by whom, and when."""

    reason: str
    kind: str
    """One of KINDS."""
    pool: str
    now_ms: int


def dead_letter(record: Received, refusal: Refusal) -> Record:
    """Return the dead letter of a record: its bytes and headers as they were, and why and where it was refused.

    It is stamped with the time of the refusal: by the record's own, retention might take it at once.
    """
    reason = refusal.reason
    if len(reason) > MAX_REASON:
        reason = f"{reason[:MAX_REASON]} ... ({len(reason) - MAX_REASON} characters more)"
    why: list[tuple[str, bytes]] = [
        (REASON, reason.encode(errors="backslashreplace")),
        (TOPIC, record.topic.encode()),
        (PARTITION, str(record.partition).encode()),
        (OFFSET, str(record.offset).encode()),
        (POOL, refusal.pool.encode()),
        (KIND, refusal.kind.encode()),
        (TIMESTAMP, str(record.timestamp_ms).encode()),
    ]
    if record.odd_key is not None:  # a null key and a null value together could not be written
        why.append((KEY, record.odd_key.data))  # type: ignore[arg-type]
    headers = (*record.headers, *why)
    return Record(dead_letters(record.topic), record.key, record.value, headers, record.partition, refusal.now_ms)


@dataclass(frozen=True)
class Letter:
    """A dead letter as it stands on the log."""

    record: Received

    @property
    def place(self) -> str:
        """Return where it stands, as topic/partition/offset."""
        return f"{self.record.topic}/{self.record.partition}/{self.record.offset}"

    @property
    def topic(self) -> str:
        """Return the topic that its record comes from and goes back to."""
        return self.record.topic.removesuffix(DEAD_LETTER_SUFFIX)

    @cached_property
    def _begin(self) -> int:
        """Return the index of the first header that refusing it added; the number of headers where there is none."""
        names = [name for name, _ in self.record.headers]
        return len(names) - 1 - names[::-1].index(REASON) if REASON in names else len(names)

    @cached_property
    def _why(self) -> dict[str, str]:
        return {name: (value or b"").decode(errors="replace") for name, value in self.record.headers[self._begin :]}

    @property
    def is_whole(self) -> bool:
        """Return whether its headers say where its record stood, as those of every letter of the project do."""
        return self._why.get(PARTITION, "").isdigit() and self._why.get(OFFSET, "").isdigit()

    @property
    def reason(self) -> str:
        """Return why it was refused."""
        return self._why.get(REASON, "")

    @property
    def kind(self) -> str:
        """Return the kind of the reason: one of KINDS; empty where it is not said."""
        return self._why.get(KIND, "")

    @property
    def pool(self) -> str:
        """Return who refused it."""
        return self._why.get(POOL, "")

    @property
    def named_topic(self) -> str:
        """Return the topic as the refusing program called it: without the prefix of its topics."""
        return self._why.get(TOPIC, "")

    @cached_property
    def original(self) -> Received:
        """Return the record as it was; raise MissingData where the headers do not say where it stood."""
        if not self.is_whole:
            raise MissingData(f"{self.place} is no dead letter of this project: it has no sound {REASON} headers")
        headers = self.record.headers
        odd = [OddKey(value) for name, value in headers[self._begin :] if name == KEY]
        place = TopicPartition(self.topic, int(self._why[PARTITION]))
        stamped = self._why.get(TIMESTAMP, "")
        return Received(
            *place,
            int(self._why[OFFSET]),
            self.record.key,
            self.record.value,
            tuple(headers[: self._begin]),
            int(stamped) if stamped.lstrip("-").isdigit() else self.record.timestamp_ms,
            odd[0] if odd else None,
        )

    @property
    def redriven(self) -> Sequence[str]:
        """Return the letters that the record was put back from before, oldest first."""
        found = [value for name, value in self.record.headers[: self._begin] if name == REDRIVEN]
        return [(value or b"").decode(errors="replace") for value in found]

    @property
    def refused_once(self) -> str:
        """Return what letters of one refusal have in common: the record's place, and whose handler raised.

        A record that nobody can decode may have a letter of each pool that reads its topic, and one more after a crash.
        """
        place = f"{self.original.topic}/{self.original.partition}/{self.original.offset}"
        return f"{place} {self.only_for}".rstrip()

    @property
    def digest(self) -> str:
        """Return a hash of the record: topics that were deleted and made again have other records at its place."""
        record = self.original
        parts = (record.key, record.odd_key, record.value, record.headers, record.timestamp_ms)
        return hashlib.sha256(repr(parts).encode(errors="backslashreplace")).hexdigest()

    @property
    def only_for(self) -> str:
        """Return the one pool that the record goes back for: where a handler raised, the others have handled it."""
        return self.pool if self.kind == HANDLER else ""

    def put_back(self, now_ms: int = 0) -> Record:
        """Return the record that goes back now: its key, bytes and headers, and that it was redriven.

        It goes to the partition of its key; the closing of a slice, of which every partition has its own, and a record
        without a text for a key go to the partition that it stood on.
        """
        record = self.original
        headers: Headers = tuple((name, value) for name, value in record.headers if name != ONLY_FOR)
        added = [(REDRIVEN, self.place.encode())]
        if self.only_for:
            added.append((ONLY_FOR, self.only_for.encode()))
        stays = record.odd_key is not None or (_TYPE, _CLOSING) in record.headers
        partition = record.partition if stays else None
        return Record(record.topic, record.key, record.value, (*headers, *added), partition, now_ms, record.odd_key)
