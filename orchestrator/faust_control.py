"""`advance` for the workflows of one process: first remember, then speak.

A batch of events becomes states, which are made durable, then messages, which are sent, and only then are its offsets
committed. After a crash in between, the events come again and `advance` says again what their states stand for. No log
brings a timer again, so the state itself says that one fired until its messages are out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.advance import Event, TimerDue, advance
from orchestrator.control import EVENTS, ContextOf
from orchestrator.faust_kept import POOL, Kept, Memory, Send
from orchestrator.retention import DEFAULT, Ended, Retention
from schemas import Message
from streams import record as envelope
from streams import tracing
from streams.clock import Clock
from streams.counts import Counts
from streams.ids import timer_id
from streams.in_hand import IN_HAND
from streams.record import Envelope, Record
from streams.serde import Serde
from streams.topics import COMMANDS, WORKFLOWS, key_of, topic_of

MAX_TIMERS = 200
"""Timers fired at once; the rest wait for the next turn."""


@dataclass
class Control:
    """Handles events and timers; one call at a time."""

    memory: Memory
    send: Send
    context_of: ContextOf
    clock: Clock
    serde: Serde
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

    async def handle(self, events: Sequence[envelope.Event]) -> None:
        """Advance the workflow of each event; all effects are durable when this returns."""
        changed: dict[str, Kept] = {}
        records: list[Record] = []
        for event in events:
            records += self._handled(event, changed)
        await self._keep(changed)
        await self.send(records)
        self.handled += len(events)
        handled = Counter(event.record.topic for event in events)
        self.counts.committed(handled, handled, ())
        self.counts.batches.add(len(events))

    def _handled(self, event: envelope.Event, changed: dict[str, Kept]) -> list[Record]:
        assert isinstance(event.message, EVENTS)
        if self._is_forgotten(event, changed):
            return []
        IN_HAND.set(event)
        began = time.monotonic()
        place, message_id = event.record, event.envelope.message_id
        try:
            with tracing.handling(POOL, event) as context:
                records = self._advance(event.message, place.key, place.partition, message_id, changed, context)
        finally:
            IN_HAND.set(None)
            self.counts.handled(place.topic, time.monotonic() - began)
        kept = changed.get(place.key) or self.memory.kept(place.key)
        if place.topic == COMMANDS.name and kept is not None and kept.offset < place.offset:
            changed[place.key] = kept.model_copy(update={"offset": place.offset})
        return records

    def _is_forgotten(self, event: envelope.Event, changed: Mapping[str, Kept]) -> bool:
        """Return whether a command was handled and its workflow is forgotten."""
        place = event.record
        if place.topic != COMMANDS.name or place.key in changed or self.memory.kept(place.key) is not None:
            return False
        return place.offset <= self.memory.forgotten(place.partition)

    async def forget(self) -> None:
        """Forget the workflows that ended long ago, or too many ago; their topic gets tombstones."""
        now = self.clock.now()
        due = [workflow_id for ended in self._ended.values() for workflow_id in ended.due(now)]
        if not due:
            return
        # Their topic first: after a crash in between they are forgotten again.
        await self.send([Record(WORKFLOWS.name, name, None, timestamp_ms=now // 1_000_000) for name in due])
        await self.memory.forget(due)
        for ended in self._ended.values():
            for workflow_id in due:
                ended.forget(workflow_id)

    async def fire(self) -> None:
        """Fire the timers whose time has come."""
        now = self.clock.now()
        due = [(workflow_id, at) for workflow_id, at in self._due.items() if at <= now][:MAX_TIMERS]
        changed: dict[str, Kept] = {}
        records: list[Record] = []
        for workflow_id, at in due:
            kept = self.memory.kept(workflow_id)
            assert kept is not None
            changed[workflow_id] = kept
            timer = TimerDue(workflow_id, at)
            context = tracing.resumed(f"{POOL} timer", workflow_id)
            records += self._advance(timer, workflow_id, kept.partition, timer_id(workflow_id, at), changed, context)
        await self._keep({name: changed[name].model_copy(update={"timer": at}) for name, at in due})
        await self.send(records)
        await self._keep({name: changed[name].model_copy(update={"timer": 0}) for name, _ in due})
        self.handled += len(due)

    def _advance(
        self,
        event: Event,
        workflow_id: str,
        partition: int,
        message_id: str,
        changed: dict[str, Kept],
        context: str | None,
    ) -> list[Record]:
        kept = changed.get(workflow_id) or self.memory.kept(workflow_id)
        now = self.clock.now()
        advanced = advance(kept.workflow if kept else None, event, self.context_of(message_id, now))
        if advanced.workflow is not None and (kept is None or advanced.workflow != kept.workflow):
            known = {"timer": kept.timer, "offset": kept.offset} if kept else {}
            changed[workflow_id] = Kept(workflow=advanced.workflow, partition=partition, **known)
        return [
            self._record(name, message, message_id, workflow_id, now, context) for name, message in advanced.messages
        ]

    async def _keep(self, states: dict[str, Kept]) -> None:
        if states:
            await self.memory.keep(states)
        for kept in states.values():
            self._note(kept)

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
