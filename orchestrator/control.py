"""The orchestrator under the task loop: commands and results in, steps and workflow states out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agents.processing import ArrivalInbox
from orchestrator.advance import Advanced, Context, Event, TimerDue, advance, next_due
from orchestrator.retention import DEFAULT, Ended, Retention
from schemas import (
    CancelWorkflow,
    ExecuteStrategy,
    ExecuteWorkflow,
    SetKillSwitch,
    StartStrategy,
    StepCompleted,
    StepFailed,
    StopStrategy,
    Workflow,
)
from streams import record as envelope
from streams.ids import timer_id
from streams.in_hand import IN_HAND
from streams.outputs import Output, Outputs
from streams.processor import Inbox
from streams.slices import Work
from streams.state import State
from streams.task import Task
from streams.topics import COMMANDS

ContextOf = Callable[[str, int], Context]
"""(message id, now) -> what advance may know."""
EVENTS = (
    ExecuteStrategy,
    StartStrategy,
    ExecuteWorkflow,
    CancelWorkflow,
    StopStrategy,
    SetKillSwitch,
    StepCompleted,
    StepFailed,
)


class WorkflowState(State):
    """Where a workflow stands."""

    workflow: Workflow | None = None
    offset: int = -1
    """Offset of its last command."""


class Forgotten(State):
    """How far the commands reach whose workflows are forgotten."""

    offset: int = -1
    """The last such command; all up to it were handled."""


class ControlProcessor:
    """`advance` for the workflows of one task."""

    pool = "orchestrator"
    owned: tuple[str, ...] = ("commands", "results")
    broadcast: tuple[str, ...] = ()

    def __init__(self, context_of: ContextOf, retention: Retention = DEFAULT) -> None:
        self._context_of = context_of
        self._retention = retention
        self._due: dict[str, int] = {}

    def inbox(self, task: Task) -> Inbox:
        """Take records as they come; note the timers of restored workflows."""
        self._due = {}
        self._ended = Ended(self._retention)
        for key in task.states.keys(WorkflowState):
            self._note(task.states.get(WorkflowState, key).workflow)
        return ArrivalInbox()

    def _note(self, workflow: Workflow | None) -> None:
        if workflow is not None:
            due = next_due(workflow)
            self._ended.note(workflow)
            self._due.pop(workflow.workflow_id, None)
            if due:
                self._due[workflow.workflow_id] = due

    def due(self, task: Task) -> Sequence[Output]:
        """Fire the timers whose time has come, and forget what ended long ago."""
        now = task.clock.now()
        for workflow_id in self._ended.due(now):
            self._forget(workflow_id, task)
        outputs: list[Output] = []
        for workflow_id, due in [entry for entry in self._due.items() if entry[1] <= now]:
            outputs += self._advance(TimerDue(workflow_id, due), workflow_id, timer_id(workflow_id, due), task)
        return outputs

    async def process(self, work: Work, task: Task) -> Outputs:
        """Advance the workflow of each record."""
        return Outputs([output for event in work.events for output in self._handled(event, task)])

    def _handled(self, event: envelope.Event, task: Task) -> list[Output]:
        assert isinstance(event.message, EVENTS)
        IN_HAND.set(event)
        place = event.record
        state = task.states.get(WorkflowState, place.key)
        if place.topic == COMMANDS.name:
            if state.workflow is None and place.offset <= task.states.get(Forgotten, "commands").offset:
                task.states.drop(WorkflowState, place.key)
                return []
            state.offset = max(state.offset, place.offset)
        return self._advance(event.message, place.key, event.envelope.message_id, task)

    def _advance(self, event: Event, workflow_id: str, message_id: str, task: Task) -> list[Output]:
        state = task.states.get(WorkflowState, workflow_id)
        advanced = advance(state.workflow, event, self._context_of(message_id, task.clock.now()))
        if advanced.workflow is None:
            task.states.drop(WorkflowState, workflow_id)
        state.workflow = advanced.workflow
        self._note(advanced.workflow)
        return outputs_of(advanced, message_id, workflow_id)

    def _forget(self, workflow_id: str, task: Task) -> None:
        forgotten = task.states.get(Forgotten, "commands")
        forgotten.offset = max(forgotten.offset, task.states.get(WorkflowState, workflow_id).offset)
        task.states.drop(WorkflowState, workflow_id)
        self._ended.forget(workflow_id)


def outputs_of(advanced: Advanced, cause: str, workflow_id: str) -> list[Output]:
    """Return what advance wants sent, under the ids that it chose."""
    return [Output(message, cause, workflow_id, message_id=name) for name, message in advanced.messages]
