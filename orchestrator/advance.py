"""The workflow state machine: (workflow, event) -> (workflow, messages), without I/O.

State and sends are not atomic in the shell around it. So an event that was handled before is answered with the messages
that may have been lost: the attempts still running, the run's announcement and the workflow, under the ids they had.
"""

from __future__ import annotations

from orchestrator.events import Advanced, Context, Event, TimerDue
from orchestrator.outputs import outputs, stop_outputs, switch_outputs
from orchestrator.planner import Planned, plan
from orchestrator.progress import progressed
from orchestrator.runs import with_defaults
from orchestrator.transitions import begun, completed, ended, find, missed, next_due, replaced, stopped
from schemas import (
    CancelWorkflow,
    SetKillSwitch,
    StepCompleted,
    StepFailed,
    StepSpec,
    StepState,
    StopStrategy,
    Workflow,
)
from schemas.workflow import WorkflowStatus
from streams.errors import FinAgentError

__all__ = ["Advanced", "Context", "Event", "TimerDue", "advance", "given_up", "next_due", "resend"]


def advance(workflow: Workflow | None, event: Event, context: Context) -> Advanced:
    """Return the next state of a workflow and what to send; an ignored event leaves the state and sends nothing."""
    if isinstance(event, StopStrategy):
        return _on_stop(workflow, event, context)
    if isinstance(event, SetKillSwitch):
        return _on_switch(workflow, event, context)
    if isinstance(event, StepCompleted | StepFailed | TimerDue | CancelWorkflow):
        return _on_event(workflow, event, context) if workflow else Advanced(None)
    return resend(workflow, context.message_id) if workflow else _on_command(event, context)


def resend(workflow: Workflow, message_id: str) -> Advanced:
    """Return the workflow with every message that its state stands for, as after a redelivery or a restart."""
    return Advanced(workflow, outputs(None, workflow, message_id))


def given_up(workflow: Workflow | None, event: Event, reason: str, context: Context) -> Advanced:
    """Return a workflow as failed because what its event leads to cannot be said; it must not have ended before."""
    if workflow is None:
        assert not isinstance(event, StepCompleted | StepFailed | TimerDue | CancelWorkflow)
        return _moved(None, ended(_record(event, "running", context), "failed", reason, context.now), context)
    return _moved(workflow, ended(workflow, "failed", reason, context.now), context)


def _moved(before: Workflow | None, workflow: Workflow, context: Context) -> Advanced:
    return Advanced(workflow, outputs(before, workflow, context.message_id))


def _on_command(command: Planned, context: Context) -> Advanced:
    created = _record(command, "running", context)
    try:
        steps = [_prepared(step, context) for step in plan(command, context.pools)]
    except FinAgentError as error:
        return _moved(None, ended(created, "failed", str(error), context.now), context)
    waiting = tuple(StepState(spec=step, status="waiting", attempt=0, due=0) for step in steps)
    return _moved(None, progressed(created.model_copy(update={"steps": waiting}), context), context)


def _record(command: Planned | StopStrategy | SetKillSwitch, status: WorkflowStatus, context: Context) -> Workflow:
    return Workflow(
        workflow_id=command.workflow_id,
        kind=type(command).__name__,
        status=status,
        steps=(),
        command_id=context.message_id,
        started=context.now,
        ts_event=context.now,
    )


def _prepared(step: StepSpec, context: Context) -> StepSpec:
    return with_defaults(step, context.limits, initial_cash=context.initial_cash, alpha_pools=context.alpha_pools)


def _on_event(
    workflow: Workflow, event: StepCompleted | StepFailed | TimerDue | CancelWorkflow, context: Context
) -> Advanced:
    if isinstance(event, CancelWorkflow):
        return _on_cancel(workflow, event, context)
    if workflow.status == "cancelled":
        return Advanced(workflow)
    if isinstance(event, TimerDue):
        return _on_timer(workflow, event, context)
    step = find(workflow, event.step_id)
    if step is None:
        return Advanced(workflow)
    if isinstance(event, StepCompleted):
        return _on_completed(workflow, step, event, context)
    return _on_failed(workflow, step, event, context)


def _on_completed(workflow: Workflow, step: StepState, event: StepCompleted, context: Context) -> Advanced:
    if step.status == "completed":
        return resend(workflow, context.message_id)
    if step.status not in ("running", "backoff"):
        return Advanced(workflow)
    # An answer to an older attempt is as good: the first one wins.
    done = replaced(workflow, completed(step, event.result), context.now)
    return _moved(workflow, progressed(done, context), context)


def _on_failed(workflow: Workflow, step: StepState, event: StepFailed, context: Context) -> Advanced:
    if event.attempt != step.attempt or step.status in ("completed", "cancelled"):
        return Advanced(workflow)
    if step.status != "running":
        return resend(workflow, context.message_id)
    error = f"{event.error_type}: {event.error}"
    missing = missed(step, error, context.now, retryable=event.retryable)
    return _moved(workflow, replaced(workflow, missing, context.now), context)


def _on_timer(workflow: Workflow, event: TimerDue, context: Context) -> Advanced:
    now = max(context.now, event.due)
    moved = workflow
    for step in workflow.steps:
        if 0 < step.due <= event.due and moved.status == "running":
            moved = replaced(moved, _after_wait(step, now), now)
    if moved is not workflow:
        return _moved(workflow, moved, context)
    # A timer later than the last change cannot have been handled before: there is nothing to repeat.
    handled = event.due <= workflow.ts_event
    return resend(workflow, context.message_id) if handled else Advanced(workflow)


def _after_wait(step: StepState, now: int) -> StepState:
    if step.status == "backoff":
        return begun(step, now)
    return missed(step, f"timed out after {step.spec.timeout_s:g} s", now, retryable=True)


def _on_cancel(workflow: Workflow, event: CancelWorkflow, context: Context) -> Advanced:
    if workflow.status != "running":
        return resend(workflow, context.message_id)
    return _moved(workflow, ended(workflow, "cancelled", event.reason, context.now), context)


def _on_stop(workflow: Workflow | None, event: StopStrategy, context: Context) -> Advanced:
    if workflow is None:
        workflow = _record(event, "completed", context)
    elif _is_run(workflow, event.run_id) and workflow.status in ("running", "completed"):
        workflow = stopped(workflow, event.reason, context.now)
    return Advanced(workflow, stop_outputs(workflow, event, context.message_id))


def _on_switch(workflow: Workflow | None, event: SetKillSwitch, context: Context) -> Advanced:
    """Say the word on; words on one account share a workflow, so they are taken in the order in which they come."""
    if workflow is None or workflow.kind == SetKillSwitch.__name__:
        # Its times are the command's, not the clock's: an earlier word that comes again is the same message.
        given = {"started": event.ts_event, "ts_event": event.ts_event}
        workflow = _record(event, "completed", context).model_copy(update=given)
    return Advanced(workflow, switch_outputs(workflow, event, context.message_id))


def _is_run(workflow: Workflow, run_id: str) -> bool:
    return workflow.workflow_id == run_id and workflow.kind != StopStrategy.__name__
