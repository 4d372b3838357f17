"""The one task loop: poll, decide, and commit outputs, state and input offsets in one transaction.

A task is (pool, partition number): the unit of ownership, state, transaction and fencing. Its id names its
transactional producer and the group that its input offsets are committed under.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import Field

from schemas import BarBlock, KillSwitchSet, Message, SliceClosed, TickBlock
from streams import tracing
from streams.broker import MAX_RECORD_BYTES, Broker, Reader, Transactions, partition_of
from streams.clock import Clock
from streams.counts import Counts
from streams.dead_letters import HANDLER, Refusal, dead_letter
from streams.errors import DecodeError, HandlerError, Misplaced, Oversized, RecordTooLarge
from streams.ids import derive_id
from streams.in_hand import IN_HAND, TASK
from streams.progress import Progress, Span
from streams.record import Envelope, Event, Received, Record, TopicPartition
from streams.serde import Serde
from streams.slices import Frontier, Work
from streams.state import State, StateTable
from streams.topics import DEAD_LETTER_SUFFIX, key_of, topic, topic_of

log = logging.getLogger("finagent.task")
MAX_WAITING = 20_000
"""Records held back before market data is paused."""
LOGGED = 10
"""Dead letters of one commit that are logged one by one."""
COMMIT_S = 0.1
"""Work that has been done for this long is committed before more is begun."""
PASS_S = 1.0
"""Offsets of nothing but records for others are committed this often."""
_BLOCKS = (TickBlock, BarBlock)
CRITICAL_TOPICS = frozenset({"orders", "fills", "results"})
"""A handler that raises on these stops its task: skipping one would corrupt money or hang a workflow."""


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


class Inbox(Protocol):
    """Decides what may be handled when."""

    def offer(self, event: Event) -> None:
        """Take one record in."""
        ...

    def next(self) -> Work | None:
        """Return what may be handled now."""
        ...


class Processor(Protocol):
    """A pool's decisions, as the task loop sees them."""

    pool: str
    """Names tasks, changelog and sources of messages."""
    owned: tuple[str, ...]
    """Topics of which the task reads its own partition."""
    broadcast: tuple[str, ...]
    """Topics of which the task reads every partition."""

    def inbox(self, task: Task) -> Inbox:
        """Make the inbox once the task's state is restored."""
        ...

    async def process(self, work: Work, task: Task) -> Outputs:
        """Handle a piece of work; raise HandlerError where a handler raised."""
        ...

    def due(self, task: Task) -> Sequence[Output]:
        """Return what timers that are due lead to."""
        ...


class TaskMeta(State):
    """What a task remembers of its own progress."""

    frontier: Frontier = Frontier()
    done_ahead: dict[str, list[Span]] = Field(default_factory=dict)
    """Runs of offsets handled beyond the committed one, by topic:partition."""
    handled: dict[str, int] = Field(default_factory=dict)
    """Rows handled so far, by topic."""
    dead: dict[str, int] = Field(default_factory=dict)
    """Records dead-lettered so far, by topic."""


@dataclass
class Task:
    """One running task; run() returns when stop is set, and raises when it is fenced or cannot go on."""

    broker: Broker
    processor: Processor
    partition: int
    partitions: Mapping[str, int]
    """Partition count of each key family."""
    clock: Clock
    serde: Serde
    on_commit: Callable[[Task], None] = lambda task: None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    poisoned: dict[tuple[object, ...], str] = field(default_factory=dict)
    """Work whose handler raised, with the reason: it is dead-lettered when met again."""
    poll_s: float = 0.2
    counts: Counts = field(default_factory=Counts)
    working_since: float | None = None
    """When the piece of work in hand was begun, by time.monotonic(); None between pieces of work."""

    @property
    def id(self) -> str:
        """Return `<pool>.<partition>`."""
        return f"{self.processor.pool}.{self.partition}"

    async def run(self) -> None:
        """Own the task until stop is set; work whose handler raised is set aside and the task starts over."""
        while not self.stop.is_set():
            try:
                await self._own()
            except HandlerError as error:
                self.counts.errors[error.topic] = self.counts.errors.get(error.topic, 0) + 1
                if error.topic in CRITICAL_TOPICS:
                    raise
                log.error("%s: %s", self.id, error)
                self.poisoned[error.poison] = str(error)

    async def _own(self) -> None:
        TASK.set(self.id)
        IN_HAND.set(None)  # what a replay in this thread left there is none of this task's
        self.counts.starts += 1
        tracer = tracing.installed()
        self._trace = tracing.TaskTrace(tracer, self.processor.pool, self.id) if tracer else None
        async with self.broker.transactions(self.id) as transactions:
            self.states = StateTable(self.processor.pool, self.partition, self.serde)
            await self.states.restore(self.broker)
            self.meta = self.states.get(TaskMeta, "task")
            self._progress = Progress(self.meta.done_ahead)
            self._letters: list[Record] = []
            self._fresh: tuple[dict[str, int], dict[str, int]] = ({}, {})
            self._causes: dict[str, Received] = {}
            inputs = await self._inputs()
            start = {**await self.broker.beginnings(inputs), **await self.broker.committed(self.id, inputs)}
            self._inbox = self.processor.inbox(self)
            self._committed = start
            async with self.broker.reader(start) as reader:
                self._reader = reader
                self.on_commit(self)
                while not self.stop.is_set():
                    await self._turn(reader, transactions, inputs)

    async def _inputs(self) -> list[TopicPartition]:
        topics = await self.broker.topics()
        owned = [TopicPartition(name, self.partition) for name in self.processor.owned]
        every = [TopicPartition(name, p) for name in self.processor.broadcast for p in range(topics[name])]
        return owned + every

    async def _turn(self, reader: Reader, transactions: Transactions, inputs: Sequence[TopicPartition]) -> None:
        received = await reader.poll(self.poll_s)
        for record in received:
            self._receive(record)
        if received:
            self.counts.batches.add(len(received))
        batch, began = self._records(self.processor.due(self)), time.monotonic()
        while (work := self._inbox.next()) is not None:
            outputs = await self._processed(work)
            before = len(batch)
            batch += self._records(outputs.first)
            self._settle(work, outputs.left)
            if outputs.follow is not None or time.monotonic() > began + COMMIT_S:
                await self._commit(transactions, reader, inputs, batch, _of_own(outputs.follow, before))
                batch, began = [], time.monotonic()
        passed = self._passed is not None and time.monotonic() > self._passed + PASS_S
        if batch or self._letters or self._settled or passed:
            await self._commit(transactions, reader, inputs, batch, None)
        self._throttle(reader, inputs)

    _settled = False
    _passed: float | None = None
    """When a record for others was passed over whose offset is not committed, by time.monotonic()."""
    _reader: Reader | None = None
    _trace: tracing.TaskTrace | None = None

    async def _processed(self, work: Work) -> Outputs:
        """Handle a piece of work; time it, and let log lines and traces know of it."""
        began = self.working_since = time.monotonic()
        IN_HAND.set(work)
        if self._trace is not None:
            self._trace.begin(work)
        try:
            outputs = await self.processor.process(work, self)
        except BaseException as error:
            if self._trace is not None:
                self._trace.end(repr(error))
            raise
        finally:
            self.working_since = None
            IN_HAND.set(None)
            stage = work.phase.name if work.phase is not None else work.events[0].record.topic
            self.counts.handled(stage, time.monotonic() - began)
        if self._trace is not None:
            self._trace.end()
        return outputs

    def positions(self) -> Mapping[TopicPartition, int]:
        """Return, by input, the offset below which everything is handled and committed; empty before the start."""
        if self._reader is None:
            return {}
        if self._settled:  # handled and not committed yet
            return self._committed
        return {place: self._progress.low_water(place, self._reader.position(place)) for place in self._committed}

    def _receive(self, record: Received) -> None:
        if not self._progress.seen(record):
            return
        if self._is_for_others(record):
            self._pass_over(record)
            return
        raised = self.poisoned.get(("record", record.topic, record.partition, record.offset))
        if raised is not None:
            self._refuse(record, raised, HANDLER)
            return
        try:
            event = self._decode(record)
        except DecodeError as error:
            self._refuse(record, str(error), error.kind)
            return
        if event.envelope.only_for in (None, self.processor.pool):
            self._inbox.offer(event)
        else:
            self._pass_over(record)

    def _pass_over(self, record: Received) -> None:
        self._progress.done(record)
        self._passed = self._passed or time.monotonic()

    def _decode(self, record: Received) -> Event:
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

    def _is_for_others(self, record: Received) -> bool:
        """Return whether the processor names whom a topic's records are addressed to, and this one is not for it."""
        only = getattr(self.processor, "only", {}).get(record.topic)
        if only is None:
            return False
        field, values = only
        value = self.serde.peek(record.value, field)
        return value is not None and value not in values

    def _refuse(self, record: Received, reason: str, kind: str) -> None:
        """Set a record aside; of a topic that every task reads, the owner of its partition writes the letter.

        A table has no owner: the first task of each pool that reads it does. What a handler raised on is told by each.
        """
        first_of_table = topic(record.topic).family == "single" and self.partition == 0
        if kind == HANDLER or first_of_table or record.topic in self.processor.owned:
            self.dead_letter(record, reason, kind)
        self.meta.dead[record.topic] = self.meta.dead.get(record.topic, 0) + 1
        self._progress.done(record)
        self._settled = True

    def dead_letter(self, record: Received, reason: str, kind: str = HANDLER) -> None:
        """Write a dead letter with the next commit; of many at once, the first ones are logged."""
        if len(self._letters) < LOGGED:
            log.warning("%s: dead letter %s: %s", self.id, record.place, reason)
        refusal = Refusal(reason, kind, self.processor.pool, self.clock.now() // 1_000_000)
        self._letters.append(dead_letter(record, refusal))

    def _settle(self, work: Work, left: Sequence[Event] = ()) -> None:
        handled, (messages, all_rows) = self.meta.handled, self._fresh
        waiting = {id(event) for event in left}
        events = [event for event in work.events if id(event) not in waiting] if left else work.events
        for event in events:
            self._progress.done(event.record)
            self._causes[event.envelope.message_id] = event.record
            name = event.record.topic
            rows = len(event.message) if isinstance(event.message, _BLOCKS) else 1
            handled[name] = handled.get(name, 0) + rows
            messages[name] = messages.get(name, 0) + 1
            all_rows[name] = all_rows.get(name, 0) + rows
        for closing in work.closings:
            self._progress.done(closing.record)
        self._settled = self._settled or bool(events or work.closings)

    async def _commit(
        self,
        transactions: Transactions,
        reader: Reader,
        inputs: Sequence[TopicPartition],
        records: Sequence[Record],
        follow: Follow | None,
    ) -> None:
        offsets = {place: self._progress.low_water(place, reader.position(place)) for place in inputs}
        self.states.get(TaskMeta, "task").done_ahead = self._progress.done_ahead()

        def then(placed: Sequence[int]) -> list[Record]:
            followers = self._records(follow(placed), "follow") if follow else []
            return [*followers, *self.states.changes(), *self._letters]

        began = time.monotonic()
        try:
            await transactions.commit(records, offsets, then)
        except RecordTooLarge as error:
            self.counts.aborted += 1
            raise self._blamed(error) from error
        except BaseException:
            self.counts.aborted += 1
            raise
        self._causes = {}
        self.counts.commits.add(time.monotonic() - began)
        self.counts.committed(*self._fresh, [letter.topic.removesuffix(DEAD_LETTER_SUFFIX) for letter in self._letters])
        self._committed, self._fresh = offsets, ({}, {})
        if len(self._letters) > LOGGED:
            log.warning("%s: %d more dead letters", self.id, len(self._letters) - LOGGED)
        self._letters = []
        self._settled, self._passed = False, None
        self.on_commit(self)

    def _blamed(self, error: RecordTooLarge) -> Exception:
        """Return the error of the record that led to one that is too large: it would again, whenever it is handled."""
        record = self._causes.get(error.cause)
        if record is None:
            return error
        poison = ("record", record.topic, record.partition, record.offset)
        return HandlerError(f"{record.place} led to {error}", topic=record.topic, poison=poison)

    def _records(self, outputs: Iterable[Output], *stage: str) -> list[Record]:
        """Make records; stage tells apart what one cause led to at different stages of a commit."""
        counts: dict[tuple[str, ...], int] = {}
        return [self._record(output, counts, stage) for output in outputs]

    def _record(self, output: Output, counts: dict[tuple[str, ...], int], stage: tuple[str, ...]) -> Record:
        message, pool = output.message, self.processor.pool
        name, key, message_id = addressed(output, pool, counts, *stage)
        now, frontier = self.clock.now(), self.meta.frontier
        envelope = Envelope(
            message_id=message_id,
            type=type(message).__name__,
            source=pool,
            ts_init=now,
            correlation_id=output.correlation,
            causation_id=output.cause,
            slice=frontier.slice if frontier.slice >= 0 else None,
            traceparent=self._trace.traceparent(output) if self._trace is not None else None,
        )
        return Record(name, key, self.serde.encode(message), envelope.headers(), output.partition, now // 1_000_000)

    def _throttle(self, reader: Reader, inputs: Sequence[TopicPartition]) -> None:
        data = [place for place in inputs if place.topic in ("ticks", "bars")]
        if data and self._progress.waiting > MAX_WAITING:
            reader.pause(data)
        elif data:
            reader.resume(data)


def check_key(record: Received, partition: int, message: Message, partitions: int) -> None:
    """Raise Misplaced for a record under another key, or on another partition of so many, than its message's."""
    has_own = hasattr(message, topic(record.topic).key) or isinstance(message, KillSwitchSet)
    key = key_of(record.topic, message) if has_own else record.key
    if record.key != key or record.odd_key is not None:
        raise Misplaced(f"the key is {record.key!r}, expected {key!r}")
    if not topic(record.topic).spread and (own := partition_of(key, partitions)) != partition:
        raise Misplaced(f"the key {key!r} belongs to partition {own} of {record.topic}, not {partition}")


def _of_own(follow: Follow | None, before: int) -> Follow | None:
    """Return a follow that is given the offsets of its own first outputs, which stand behind others in the batch."""
    return None if follow is None else lambda placed: follow(placed[before:])


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
