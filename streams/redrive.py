"""Put records back from the dead letters: each once, whatever is killed in between, and whoever else does it too.

A record and the mark that it was put back are written in one transaction. Its transactional id is fixed: whoever begins
a redrive fences the one that runs, settles what a killed one left open, and then reads all marks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from schemas import SliceClosed
from streams.broker import MAX_RECORD_BYTES, Broker, TopicConfig, Transactions, partition_of
from streams.clock import Clock
from streams.dead_letters import Letter
from streams.errors import DecodeError, UnknownTopic
from streams.intake import check_key
from streams.reading import end_for_owner
from streams.record import Envelope, Record, TopicPartition
from streams.serde import Serde
from streams.state import State, StateTable
from streams.topics import BARS, TICKS, changelog, topic

REDRIVE = "redrive"
"""Names the transactional id and the changelog of the marks."""


class Mark(State):
    """That a refused record was put back."""

    letter: str = ""
    """Place of the letter that it was put back from."""
    digest: str = ""
    """Hash of the record."""
    ts: int = 0
    """When, ns UTC."""


@dataclass(frozen=True)
class Verdict:
    """What a redrive does with a dead letter."""

    letter: Letter
    done: Mark | None = None
    """The record was put back before."""
    why_not: str = ""
    """Why putting it back can only fail again or do harm; empty where it may be handled."""

    @property
    def is_open(self) -> bool:
        """Return whether the record is to be put back."""
        return self.done is None and not self.why_not


class Marks:
    """The marks of what was put back."""

    def __init__(self, states: StateTable) -> None:
        self.states = states
        self._known = {key: states.get(Mark, key) for key in states.keys(Mark)}
        states.changes()

    @classmethod
    async def read(cls, broker: Broker, serde: Serde, owner: Transactions | None = None) -> Self:
        """Read the marks as they are now; owner: who will write the next ones, and must know all."""
        states, place = StateTable(REDRIVE, 0, serde), TopicPartition(changelog(REDRIVE), 0)
        if owner is not None:
            await broker.create_topics({place.topic: TopicConfig(1, compacted=True)})
            await states.restore(broker, await end_for_owner(owner, place))
        elif place.topic in await broker.topics():
            await states.restore(broker)
        return cls(states)

    def of(self, letter: Letter) -> Mark | None:
        """Return the mark of a letter's record; None where it was not put back."""
        mark = self._known.get(letter.refused_once)
        return mark if mark is not None and mark.digest == letter.digest else None

    def put(self, letter: Letter, ts: int) -> None:
        """Mark a letter's record as put back."""
        mark = self.states.get(Mark, letter.refused_once)
        mark.letter, mark.digest, mark.ts = letter.place, letter.digest, ts
        self._known[letter.refused_once] = mark


def verdict_on(
    letter: Letter, marks: Marks, serde: Serde, counts: Mapping[str, int], *, force: bool = False
) -> Verdict:
    """Return what a redrive does with a letter; counts: partitions by topic; force: of what will likely fail too."""
    if not letter.is_whole:
        return Verdict(letter, None, "its headers do not say where its record stood")
    if done := marks.of(letter):
        return Verdict(letter, done)
    return Verdict(letter, None, _impossible(letter, counts) or ("" if force else _why_not(letter, serde, counts)))


def _why_not(letter: Letter, serde: Serde, counts: Mapping[str, int]) -> str:
    record = letter.put_back()
    try:
        return _refused(letter, record, serde, counts[letter.topic])
    except DecodeError as error:
        return f"it would be refused again: {error}"


def _impossible(letter: Letter, counts: Mapping[str, int]) -> str:
    """Say why a letter's record cannot go back, whatever is forced; empty where it can."""
    if letter.topic != letter.named_topic:
        prefix = letter.topic.removesuffix(letter.named_topic)
        return f"it belongs to a system with the prefix {prefix!r}: give --prefix {prefix}"
    if letter.topic not in counts:
        return f"there is no topic {letter.topic}"
    record = letter.put_back()
    if record.size > MAX_RECORD_BYTES:
        return f"it is too large: {record.size} bytes, expected at most {MAX_RECORD_BYTES}"
    return "it has neither key nor value" if record.value is None and record.key_bytes is None else ""


def _refused(letter: Letter, record: Record, serde: Serde, partitions: int) -> str:
    """Say why a record that can be read should not go back; raise DecodeError where it cannot be read."""
    message, original = serde.decode(record.value), letter.original
    try:
        types = topic(letter.topic).types
    except UnknownTopic as error:
        return str(error)
    if type(message) not in types:
        return f"it would be refused again: {type(message).__name__} does not belong on {letter.topic}"
    Envelope.from_headers(record.headers)
    if isinstance(message, SliceClosed):
        return "a slice that was closed is not decided again"
    base = letter.topic.rsplit(".", 1)[-1]
    if base in (TICKS.name, BARS.name):
        return "market data of a slice that has passed would be traded on as if it were new; feed it again instead"
    partition = partition_of(record.key, partitions) if record.partition is None else record.partition
    check_key(original, partition, message, partitions)
    return ""


class Redrive:
    """One redrive at work; another one that begins fences it."""

    def __init__(self, broker: Broker, serde: Serde, clock: Clock, transactions: Transactions, marks: Marks) -> None:
        self._serde = serde
        self._clock = clock
        self._broker = broker
        self._transactions = transactions
        self._marks = marks

    @classmethod
    @asynccontextmanager
    async def begin(cls, broker: Broker, serde: Serde, clock: Clock) -> AsyncIterator[Self]:
        """Fence whoever redrives, then read what was put back."""
        async with broker.transactions(f"{REDRIVE}.0") as transactions:
            yield cls(broker, serde, clock, transactions, await Marks.read(broker, serde, transactions))

    async def put_back(self, letters: Sequence[Letter], *, force: bool = False) -> list[Verdict]:
        """Put back, in one transaction, the records of letters that were not put back yet; return what each met with.

        force: those too that will likely be refused again. Raises Fenced where another redrive has begun: what this
        one put back before stays, and the other one knows it.
        """
        counts = await self._broker.topics()
        verdicts, records = [], list[Record]()
        for letter in letters:
            verdict = verdict_on(letter, self._marks, self._serde, counts, force=force)
            verdicts.append(verdict)
            if verdict.is_open:
                now = self._clock.now()
                self._marks.put(letter, now)
                records.append(letter.put_back(now // 1_000_000))
        if records:
            await self._transactions.commit(records, None, lambda _: self._marks.states.changes())
        return verdicts
