"""`advance` for the workflows of one process: first remember, then speak.

A batch of events becomes states, which are made durable, then messages, which are sent, and only then are its offsets
committed. After a crash in between, the events come again and `advance` says again what their states stand for. No log
brings a timer again, so the state itself says that one fired until its messages are out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from orchestrator.advance import Event, TimerDue, advance
from orchestrator.control import EVENTS, ContextOf
from orchestrator.faust_kept import POOL, Kept, Memory, Send
from schemas import Message
from streams import record as envelope
from streams.clock import Clock
from streams.ids import timer_id
from streams.record import Envelope, Record
from streams.serde import Serde
from streams.topics import topic_of

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
    handled: int = 0
    """Events and timers handled so far."""
    _due: dict[str, int] = field(default_factory=dict)

    def restore(self, states: Iterable[Kept]) -> None:
        """Note the timers of the workflows that this process owns from now on."""
        self._due = {}
        for kept in states:
            self._note(kept)

    async def handle(self, events: Sequence[envelope.Event]) -> None:
        """Advance the workflow of each event; all effects are durable when this returns."""
        changed: dict[str, Kept] = {}
        records: list[Record] = []
        for event in events:
            assert isinstance(event.message, EVENTS)
            place = event.record
            records += self._advance(event.message, place.key, place.partition, event.envelope.message_id, changed)
        await self._keep(changed)
        await self.send(records)
        self.handled += len(events)

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
            records += self._advance(timer, workflow_id, kept.partition, timer_id(workflow_id, at), changed)
        await self._keep({name: changed[name].model_copy(update={"timer": at}) for name, at in due})
        await self.send(records)
        await self._keep({name: changed[name].model_copy(update={"timer": 0}) for name, _ in due})
        self.handled += len(due)

    def _advance(
        self, event: Event, workflow_id: str, partition: int, message_id: str, changed: dict[str, Kept]
    ) -> list[Record]:
        kept = changed.get(workflow_id) or self.memory.kept(workflow_id)
        now = self.clock.now()
        advanced = advance(kept.workflow if kept else None, event, self.context_of(message_id, now))
        if advanced.workflow is not None and (kept is None or advanced.workflow != kept.workflow):
            timer = kept.timer if kept else 0
            changed[workflow_id] = Kept(workflow=advanced.workflow, partition=partition, timer=timer)
        return [self._record(name, message, message_id, workflow_id, now) for name, message in advanced.messages]

    async def _keep(self, states: dict[str, Kept]) -> None:
        if states:
            await self.memory.keep(states)
        for kept in states.values():
            self._note(kept)

    def _note(self, kept: Kept) -> None:
        workflow_id = kept.workflow.workflow_id
        self._due.pop(workflow_id, None)
        if kept.due:
            self._due[workflow_id] = kept.due

    def _record(self, name: str, message: Message, cause: str, workflow_id: str, now: int) -> Record:
        topic = topic_of(type(message))
        headers = Envelope(
            message_id=name,
            type=type(message).__name__,
            source=POOL,
            ts_init=now,
            correlation_id=workflow_id,
            causation_id=cause,
        ).headers()
        key = str(getattr(message, topic.key))
        return Record(topic.name, key, self.serde.encode(message), headers, timestamp_ms=now // 1_000_000)
