"""The orchestrator under the task loop: commands and results in, steps and workflow states out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agents.processing import ArrivalInbox
from orchestrator.advance import Advanced, Context, Event, TimerDue, advance, next_due
from schemas import (
    CancelWorkflow,
    ExecuteStrategy,
    ExecuteWorkflow,
    StartStrategy,
    StepCompleted,
    StepFailed,
    StopStrategy,
    Workflow,
)
from streams import record as envelope
from streams.ids import timer_id
from streams.slices import Work
from streams.state import State
from streams.task import Inbox, Output, Outputs, Task

ContextOf = Callable[[str, int], Context]
"""(message id, now) -> what advance may know."""
EVENTS = (
    ExecuteStrategy,
    StartStrategy,
    ExecuteWorkflow,
    CancelWorkflow,
    StopStrategy,
    StepCompleted,
    StepFailed,
)


class WorkflowState(State):
    """Where a workflow stands."""

    workflow: Workflow | None = None


class ControlProcessor:
    """`advance` for the workflows of one task."""

    pool = "orchestrator"
    owned: tuple[str, ...] = ("commands", "results")
    broadcast: tuple[str, ...] = ()

    def __init__(self, context_of: ContextOf) -> None:
        self._context_of = context_of
        self._due: dict[str, int] = {}

    def inbox(self, task: Task) -> Inbox:
        """Take records as they come; note the timers of restored workflows."""
        self._due = {}
        for key in task.states.keys(WorkflowState):
            self._note(task.states.get(WorkflowState, key).workflow)
        return ArrivalInbox()

    def _note(self, workflow: Workflow | None) -> None:
        if workflow is not None:
            due = next_due(workflow)
            self._due.pop(workflow.workflow_id, None)
            if due:
                self._due[workflow.workflow_id] = due

    def due(self, task: Task) -> Sequence[Output]:
        """Fire the timers whose time has come."""
        now = task.clock.now()
        outputs: list[Output] = []
        for workflow_id, due in [entry for entry in self._due.items() if entry[1] <= now]:
            outputs += self._advance(TimerDue(workflow_id, due), workflow_id, timer_id(workflow_id, due), task)
        return outputs

    async def process(self, work: Work, task: Task) -> Outputs:
        """Advance the workflow of each record."""
        return Outputs([output for event in work.events for output in self._handled(event, task)])

    def _handled(self, event: envelope.Event, task: Task) -> list[Output]:
        assert isinstance(event.message, EVENTS)
        return self._advance(event.message, event.record.key, event.envelope.message_id, task)

    def _advance(self, event: Event, workflow_id: str, message_id: str, task: Task) -> list[Output]:
        state = task.states.get(WorkflowState, workflow_id)
        advanced = advance(state.workflow, event, self._context_of(message_id, task.clock.now()))
        state.workflow = advanced.workflow
        self._note(advanced.workflow)
        return outputs_of(advanced, message_id, workflow_id)


def outputs_of(advanced: Advanced, cause: str, workflow_id: str) -> list[Output]:
    """Return what advance wants sent, under the ids that it chose."""
    return [Output(message, cause, workflow_id, message_id=name) for name, message in advanced.messages]
