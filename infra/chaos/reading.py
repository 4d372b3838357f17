"""What a log came to: decisions, causes, statements, workflows and letters, all of committed records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.recipes import ORCHESTRATOR
from schemas import OrderFilled, PositionsUpdated, SliceClosed, StepCompleted, StepFailed, SubmitOrder, Workflow
from streams.broker import Broker
from streams.reading import read_whole
from streams.record import Envelope, Received, TopicPartition
from streams.serde import Serde
from streams.topics import DEAD_LETTER_SUFFIX

DECISIONS = ("signals", "targets", "risk", "orders", "fills", "positions")
TOPICS = (*DECISIONS, "bars", "ticks", "commands", "steps", "results", "workflows", "strategies", "instruments")
"""What is read: everything that is a cause or has one."""
_STEPS = ".steps"


@dataclass
class Log:
    """All that stands on a log, by what the verdict asks of it."""

    decisions: dict[str, bytes] = field(default_factory=dict)
    """Values of decisions by `topic id`; what steps of workflows said on these topics is left out."""
    repeats: list[str] = field(default_factory=list)
    """Places of decisions whose id stands on the log already."""
    places: dict[str, str] = field(default_factory=dict)
    """Where a message was first said, by its id."""
    causes: dict[str, str] = field(default_factory=dict)
    """Where a cause was first named, by the cause's id."""
    timed: dict[str, str] = field(default_factory=dict)
    """The same of what the orchestrator said, whose cause may be a timer, which has no record."""
    statements: dict[str, PositionsUpdated] = field(default_factory=dict)
    """The last of each account."""
    workflows: dict[str, Workflow] = field(default_factory=dict)
    """The last state of each workflow."""
    attempts: dict[str, set[str]] = field(default_factory=dict)
    """Ids of the answers to each attempt at a step, by `workflow step attempt`."""
    letters: list[str] = field(default_factory=list)
    """Places of dead letters."""
    offsets: set[tuple[str, int, int]] = field(default_factory=set)
    """Topic, partition and offset of every record."""
    orders: int = 0
    fills: int = 0

    def take(self, record: Received, serde: Serde) -> None:
        """Take in one record; raise DecodeError where it is none of the system's."""
        self.offsets.add((record.topic, record.partition, record.offset))
        if record.topic.endswith(DEAD_LETTER_SUFFIX):
            self.letters.append(record.place)
            return
        if record.value is None:
            return
        envelope = Envelope.from_headers(record.headers)
        causes = self.timed if envelope.source == ORCHESTRATOR else self.causes
        causes.setdefault(envelope.causation_id, record.place)
        if envelope.type != SliceClosed.__name__:
            self._decide(record, envelope)
            self._learn(serde.decode(record.value), envelope)
        self.places.setdefault(envelope.message_id, record.place)

    def _decide(self, record: Received, envelope: Envelope) -> None:
        if record.topic not in DECISIONS or envelope.source.endswith(_STEPS):
            return
        name = f"{record.topic} {envelope.message_id}"
        if name in self.decisions:
            self.repeats.append(f"{record.place} says {envelope.type} {envelope.message_id} again")
        self.decisions.setdefault(name, record.value or b"")

    def _learn(self, message: object, envelope: Envelope) -> None:
        if isinstance(message, PositionsUpdated):
            self.statements[message.account_id] = message
        elif isinstance(message, Workflow):
            known = self.workflows.get(message.workflow_id)
            if known is None or known.ts_event <= message.ts_event:
                self.workflows[message.workflow_id] = message
        elif isinstance(message, StepCompleted | StepFailed):
            attempt = f"{message.workflow_id} {message.step_id} {message.attempt}"
            self.attempts.setdefault(attempt, set()).add(envelope.message_id)
        self.orders += isinstance(message, SubmitOrder)
        self.fills += isinstance(message, OrderFilled)


async def read_log(broker: Broker, serde: Serde) -> Log:
    """Read a whole log to where it ends at the call."""
    log = Log()
    async for record in read_whole(broker, await places_of(broker)):
        log.take(record, serde)
    return log


async def places_of(broker: Broker) -> list[TopicPartition]:
    """Return the partitions of the topics that are read, and of all dead letters."""
    counts = await broker.topics()
    wanted = [name for name in counts if name in TOPICS or name.endswith(DEAD_LETTER_SUFFIX)]
    return [TopicPartition(name, partition) for name in sorted(wanted) for partition in range(counts[name])]


def outcome(workflow: Workflow) -> dict[str, Any]:
    """Return what a workflow came to, without where its rows stand and which attempt succeeded."""
    steps = {step.spec.step_id: (step.status, without_places(step.result)) for step in workflow.steps}
    return {"status": workflow.status, "error": workflow.error, "steps": steps}


def without_places(result: Any) -> Any:
    """Return a step's result with references to rows cut down to their count and hash."""
    if isinstance(result, Mapping):
        if {"topic", "sha256", "count"} <= result.keys():
            return {"count": result["count"], "sha256": result["sha256"]}
        return {key: without_places(value) for key, value in result.items()}
    if isinstance(result, Iterable) and not isinstance(result, str | bytes):
        return [without_places(value) for value in result]
    return result
