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

from pydantic import Field

from schemas import BarBlock, TickBlock
from streams import tracing
from streams.broker import Broker, Reader, Transactions
from streams.clock import Clock
from streams.counts import Counts
from streams.dead_letters import HANDLER, Refusal, dead_letter
from streams.errors import DecodeError, HandlerError, RecordTooLarge
from streams.in_hand import IN_HAND, TASK
from streams.intake import Intake
from streams.outputs import Follow, Origin, Output, Outputs, records_of
from streams.processor import Processor
from streams.progress import Progress, Span
from streams.reading import end_for_owner
from streams.record import Event, Received, Record, TopicPartition
from streams.serde import Serde
from streams.slices import Frontier, SliceInbox, Work
from streams.snapshots import Snapshots
from streams.state import State, StateTable
from streams.topics import DEAD_LETTER_SUFFIX, changelog, topic

log = logging.getLogger("finagent.task")
MAX_WAITING = 20_000
"""Records held back before inputs are paused that bring nothing which is waited for."""
MAX_WAITING_BYTES = 64_000_000
"""The same for the bytes of their values."""
LOGGED = 10
"""Dead letters of one commit that are logged one by one."""
COMMIT_S = 0.1
"""Work that has been done for this long is committed before more is begun."""
PASS_S = 1.0
"""Offsets of nothing but records for others are committed this often."""
_BLOCKS = (TickBlock, BarBlock)
CRITICAL_TOPICS = frozenset({"orders", "fills", "results"})
"""A handler that raises on these stops its task: skipping one would corrupt money or hang a workflow."""


class TaskMeta(State):
    """What a task remembers of its own progress."""

    frontier: Frontier = Frontier()
    offsets: dict[str, int] = Field(default_factory=dict)
    """Offsets from which inputs are to be read on, by topic:partition."""
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
    snapshots: Snapshots | None = None
    """Shorten the restoring of its state; None: the whole changelog is read."""
    working_since: float | None = None
    """When the piece of work in hand was begun, by time.monotonic(); None between pieces of work."""

    @property
    def id(self) -> str:
        """Return `<pool>.<partition>`."""
        return f"{self.processor.pool}.{self.partition}"

    async def run(self) -> None:
        """Own the task until stop is set; work whose handler raised is set aside and the task starts over."""
        try:
            while not self.stop.is_set():
                try:
                    await self._own()
                except HandlerError as error:
                    self.counts.errors[error.topic] = self.counts.errors.get(error.topic, 0) + 1
                    if error.topic in CRITICAL_TOPICS:
                        raise
                    log.error("%s: %s", self.id, error)
                    self.poisoned[error.poison] = str(error)
        finally:
            if self.snapshots is not None:
                await self.snapshots.stop()

    async def _own(self) -> None:
        TASK.set(self.id)
        IN_HAND.set(None)  # what a replay in this thread left there is none of this task's
        self.counts.starts += 1
        tracer = tracing.installed()
        self._trace = tracing.TaskTrace(tracer, self.processor.pool, self.id) if tracer else None
        async with self.broker.transactions(self.id) as transactions:
            await self._restore(await end_for_owner(transactions, self._changelog))
            self.meta = self.states.get(TaskMeta, "task")
            self._progress = Progress(self.meta.done_ahead)
            self._letters: list[Record] = []
            self._fresh: tuple[dict[str, int], dict[str, int]] = ({}, {})
            self._causes: dict[str, Received] = {}
            self._intake = Intake(self.processor, self.partitions, self.serde)
            inputs = await self._inputs()
            start = await self._start_of(inputs)
            self._inbox = self.processor.inbox(self)
            self._committed = start
            async with self.broker.reader(start) as reader:
                self._reader = reader
                self.on_commit(self)
                while not self.stop.is_set():
                    await self._turn(reader, transactions, inputs)

    @property
    def _changelog(self) -> TopicPartition:
        return TopicPartition(changelog(self.processor.pool), self.partition)

    async def _restore(self, end: int) -> None:
        self.states = StateTable(self.processor.pool, self.partition, self.serde, sealed=self.snapshots is not None)
        if self.snapshots is not None:
            await self.snapshots.restore(self.states, self.broker, end)
        else:
            await self.states.restore(self.broker, end)

    async def _start_of(self, inputs: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where to read on: where the states say, which cannot be older than they are.

        What the task's group has committed is the same, but a coordinator that was cut off may tell of an older one. It
        counts where an earlier release has left the states, which did not say.
        """
        said = {place: self.meta.offsets[name] for place in inputs if (name := place.name) in self.meta.offsets}
        return {**await self.broker.beginnings(inputs), **(said or await self.broker.committed(self.id, inputs))}

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
        if self.snapshots is not None:
            self.snapshots.offer(self.states)
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
        if self._intake.is_for_others(record):
            self._pass_over(record)
            return
        raised = self.poisoned.get(("record", record.topic, record.partition, record.offset))
        if raised is not None:
            self._refuse(record, raised, HANDLER)
            return
        try:
            event = self._intake.decode(record)
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
        meta = self.states.get(TaskMeta, "task")
        meta.offsets = {place.name: offset for place, offset in offsets.items()}
        meta.done_ahead = self._progress.done_ahead()
        changes: list[Record] = []

        def then(placed: Sequence[int]) -> list[Record]:
            followers = self._records(follow(placed), "follow") if follow else []
            changes.extend(self.states.changes())
            return [*followers, *self._letters, *changes]

        began = time.monotonic()
        try:
            placed = await transactions.commit(records, offsets, then)
        except RecordTooLarge as error:
            self.counts.aborted += 1
            raise self._blamed(error) from error
        except BaseException:
            self.counts.aborted += 1
            raise
        if changes:
            self.states.committed(placed[-1])
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
        origin = Origin(self.processor.pool, self.clock, self.meta.frontier.slice, self._trace)
        return records_of(outputs, origin, self.serde, *stage)

    def _throttle(self, reader: Reader, inputs: Sequence[TopicPartition]) -> None:
        """Hold memory flat while much waits, and go on reading what it waits for."""
        waiting, inbox = self._progress, self._inbox
        paused: list[TopicPartition] = []
        if waiting.waiting > MAX_WAITING or waiting.waiting_bytes > MAX_WAITING_BYTES:
            owned = [place for place in inputs if place.topic in self.processor.owned]
            paused = inbox.ahead(inputs) if isinstance(inbox, SliceInbox) else owned
        reader.pause(paused)
        reader.resume([place for place in inputs if place not in paused])


def _of_own(follow: Follow | None, before: int) -> Follow | None:
    """Return a follow that is given the offsets of its own first outputs, which stand behind others in the batch."""
    return None if follow is None else lambda placed: follow(placed[before:])
