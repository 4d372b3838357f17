"""`advance` for the workflows of one process: decide, write all or nothing, and only then remember.

What the events of a partition lead to, states, messages, dead letters and offsets, is committed in one transaction of
that partition. After a crash before it nothing has happened, and after it the events do not come again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from orchestrator.advance import Advanced, Event, TimerDue, advance, given_up
from orchestrator.control import EVENTS, ContextOf
from orchestrator.faust_kept import POOL, Commit, Effects, Kept, Memory
from orchestrator.faust_records import decoded
from orchestrator.retention import DEFAULT, Ended, Retention
from schemas import Message
from streams import record as envelope
from streams import tracing
from streams.broker import MAX_RECORD_BYTES
from streams.clock import Clock
from streams.counts import Counts
from streams.dead_letters import Refusal, dead_letter
from streams.errors import DecodeError, Fenced, Oversized, RecordTooLarge
from streams.ids import timer_id
from streams.in_hand import IN_HAND
from streams.record import Envelope, Received, Record, TopicPartition
from streams.serde import Serde
from streams.task import LOGGED
from streams.topics import COMMANDS, WORKFLOWS, key_of, topic_of

log = logging.getLogger("finagent.orchestrator")
MAX_TIMERS = 200
"""Timers fired at once; the rest wait for the next turn."""
SPARE_BYTES = 4_096
"""Of the largest record: kept free, so that a workflow that became too large can still be said to have failed."""


@dataclass
class Control:
    """Handles records and timers; one call at a time."""

    memory: Memory
    commit: Commit
    context_of: ContextOf
    clock: Clock
    serde: Serde
    partitions: int
    """Of the topics of workflows."""
    retention: Retention = DEFAULT
    """Of each partition's ended workflows."""
    handled: int = 0
    """Events and timers handled so far."""
    counts: Counts = field(default_factory=lambda: Counts(starts=1))
    _due: dict[str, int] = field(default_factory=dict)
    _ended: dict[int, Ended] = field(default_factory=dict)

    def restore(self, states: Iterable[Kept]) -> None:
        """Note the timers of the workflows that this process owns from now on."""
        self._due, self._ended = {}, {}
        for kept in sorted(states, key=lambda each: each.workflow.ts_event):
            self._note(kept)

    async def handle(self, records: Sequence[Received]) -> None:
        """Advance the workflow of each record; all effects are durable when this returns.

        Raises Fenced where another process owns a partition: nothing of it was written or remembered then.
        """
        every: dict[int, Effects] = {}
        for record in records:
            effects = every.setdefault(record.partition, Effects(record.partition))
            self._take(record, effects)
            effects.offsets[TopicPartition(record.topic, record.partition)] = record.offset + 1
        await self._write(every.values())
        self.handled += len(records)
        handled = Counter(record.topic for record in records)
        self.counts.committed(handled, handled, [topic for each in every.values() for topic in each.dead])
        self.counts.batches.add(len(records))

    def _take(self, record: Received, effects: Effects) -> None:
        try:
            event = decoded(record, self.serde, self.partitions)
        except DecodeError as error:
            self._refuse(record, str(error), error.kind, effects)
            return
        if event.envelope.only_for not in (None, POOL):
            return
        try:
            self._handle(event, effects)
        except RecordTooLarge as error:
            self._refuse(record, f"it led to {error}", Oversized.kind, effects)

    def _refuse(self, record: Received, reason: str, kind: str, effects: Effects) -> None:
        if len(effects.dead) < LOGGED:
            log.warning("dead letter %s: %s", record.place, reason)
        refusal = Refusal(reason, kind, POOL, self.clock.now() // 1_000_000)
        effects.records.append(dead_letter(record, refusal))
        effects.dead.append(record.topic)

    def _handle(self, event: envelope.Event, effects: Effects) -> None:
        assert isinstance(event.message, EVENTS)
        if self._is_forgotten(event, effects):
            return
        IN_HAND.set(event)
        began = time.monotonic()
        place, message_id = event.record, event.envelope.message_id
        try:
            with tracing.handling(POOL, event) as context:
                self._advance(event.message, place.key, message_id, effects, context)
        finally:
            IN_HAND.set(None)
            self.counts.handled(place.topic, time.monotonic() - began)
        kept = self._kept(place.key, effects)
        if place.topic == COMMANDS.name and kept is not None and kept.offset < place.offset:
            effects.states[place.key] = kept.model_copy(update={"offset": place.offset})

    def _kept(self, workflow_id: str, effects: Effects) -> Kept | None:
        return effects.states.get(workflow_id) or self.memory.kept(workflow_id)

    def _is_forgotten(self, event: envelope.Event, effects: Effects) -> bool:
        """Return whether a command was handled and its workflow is forgotten."""
        place = event.record
        if place.topic != COMMANDS.name or self._kept(place.key, effects) is not None:
            return False
        return place.offset <= self.memory.forgotten(place.partition)

    async def forget(self) -> None:
        """Forget the workflows that ended long ago, or too many ago; their topic gets tombstones."""
        now = self.clock.now()
        due = {partition: names for partition, ended in self._ended.items() if (names := ended.due(now))}
        await self._write(
            Effects(partition, gone=names, records=[_tombstone(name, now) for name in names])
            for partition, names in due.items()
        )

    async def fire(self) -> None:
        """Fire the timers whose time has come."""
        now = self.clock.now()
        due = [(workflow_id, at) for workflow_id, at in self._due.items() if at <= now][:MAX_TIMERS]
        every: dict[int, Effects] = {}
        for workflow_id, at in due:
            kept = self.memory.kept(workflow_id)
            assert kept is not None
            effects = every.setdefault(kept.partition, Effects(kept.partition))
            effects.states[workflow_id] = kept.model_copy(update={"timer": 0})
            timer, context = TimerDue(workflow_id, at), tracing.resumed(f"{POOL} timer", workflow_id)
            try:
                self._advance(timer, workflow_id, timer_id(workflow_id, at), effects, context)
            except RecordTooLarge as error:
                log.error("the timer of workflow %s is given up: %s", workflow_id, error)
                del effects.states[workflow_id], self._due[workflow_id]
        await self._write(every.values())
        self.handled += len(due)

    def _advance(self, event: Event, workflow_id: str, message_id: str, effects: Effects, context: str | None) -> None:
        """Add what an event leads to, or that its workflow failed because that is too large."""
        kept = self._kept(workflow_id, effects)
        workflow = kept.workflow if kept else None
        now = self.clock.now()
        around = self.context_of(message_id, now)

        def made(advanced: Advanced, spare: int) -> None:
            state = self._state(advanced, kept, effects.partition)
            records = [
                self._record(name, message, message_id, workflow_id, now, context)
                for name, message in advanced.messages
            ]
            self._check(records, state, spare)
            effects.records += records
            if state is not None:
                effects.states[workflow_id] = state

        try:
            made(advance(workflow, event, around), SPARE_BYTES)
        except RecordTooLarge as error:
            if workflow is not None and workflow.status != "running":
                raise
            log.warning("workflow %s fails: %s led to %s", workflow_id, type(event).__name__, error)
            made(given_up(workflow, event, f"{type(event).__name__} led to {error}", around), 0)

    def _state(self, advanced: Advanced, kept: Kept | None, partition: int) -> Kept | None:
        """Return a workflow's new state; None where it is as it was."""
        if advanced.workflow is None or (kept is not None and advanced.workflow == kept.workflow):
            return None
        known = {"timer": kept.timer, "offset": kept.offset} if kept else {}
        return Kept(workflow=advanced.workflow, partition=partition, **known)

    def _check(self, records: Sequence[Record], state: Kept | None, spare: int) -> None:
        """Raise RecordTooLarge where a message or state is larger than its topic takes."""
        sizes = [(record.size, record.topic) for record in records]
        # A state takes the same things as its message, in JSON: it is written out only where that may matter.
        if state is not None and max(sizes, default=(0, ""))[0] > MAX_RECORD_BYTES // 10:
            sizes.append((len(state.encode(self.serde)) + len(state.workflow.workflow_id.encode()), "the changelog"))
        size, topic = max(sizes, default=(0, ""))
        if size > (most := MAX_RECORD_BYTES - spare):
            raise RecordTooLarge(f"a record of {size} bytes for {topic}, expected at most {most}")

    async def _write(self, every: Iterable[Effects]) -> None:
        """Commit the effects of each partition; one that fails does not keep the others from being remembered."""
        results = await asyncio.gather(*map(self._committed, every), return_exceptions=True)
        errors = [error for error in results if isinstance(error, BaseException)]
        for error in sorted(errors, key=lambda each: isinstance(each, Fenced)):
            raise error

    async def _committed(self, effects: Effects) -> None:
        began = time.monotonic()
        try:
            await self.commit(effects.partition, [*effects.records, *self.memory.changes(effects)], effects.offsets)
        except BaseException:
            self.counts.aborted += 1
            raise
        self.counts.commits.add(time.monotonic() - began)
        self.memory.take_over(effects)
        for kept in effects.states.values():
            self._note(kept)
        for workflow_id in effects.gone:
            self._ended[effects.partition].forget(workflow_id)

    def _note(self, kept: Kept) -> None:
        workflow_id = kept.workflow.workflow_id
        self._ended.setdefault(kept.partition, Ended(self.retention)).note(kept.workflow)
        self._due.pop(workflow_id, None)
        if kept.due:
            self._due[workflow_id] = kept.due

    def _record(
        self, name: str, message: Message, cause: str, workflow_id: str, now: int, context: str | None
    ) -> Record:
        topic = topic_of(type(message))
        headers = Envelope(
            message_id=name,
            type=type(message).__name__,
            source=POOL,
            ts_init=now,
            correlation_id=workflow_id,
            causation_id=cause,
            traceparent=context,
        ).headers()
        key = key_of(topic.name, message)
        return Record(topic.name, key, self.serde.encode(message), headers, timestamp_ms=now // 1_000_000)


def _tombstone(workflow_id: str, now: int) -> Record:
    return Record(WORKFLOWS.name, workflow_id, None, timestamp_ms=now // 1_000_000)
