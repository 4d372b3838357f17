"""Transitions of one step and of its workflow: pure functions over frozen state. Times are ns UTC."""

from __future__ import annotations

from typing import Any

from orchestrator.recipes import ORCHESTRATOR
from schemas import StepState, Workflow
from schemas.workflow import WorkflowStatus

SECOND_NS = 1_000_000_000
FIRST_BACKOFF_S = 0.5
"""Wait before the second attempt, in seconds; doubled with each further one."""
MAX_BACKOFF_S = 30.0
"""The longest wait between attempts, in seconds."""


def timeout_ns(step: StepState) -> int:
    """Return the time for one attempt, in ns."""
    return round(step.spec.timeout_s * SECOND_NS)


def backoff_ns(attempt: int) -> int:
    """Return the wait after a failed attempt, in ns."""
    # The exponent is bounded so that a huge attempt number cannot overflow a float.
    return round(min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(attempt - 1, 16)) * SECOND_NS)


def begun(step: StepState, now: int) -> StepState:
    """Return the step in its next attempt."""
    update = {"status": "running", "attempt": step.attempt + 1, "due": now + timeout_ns(step)}
    return step.model_copy(update=update)


def completed(step: StepState, result: dict[str, Any]) -> StepState:
    """Return the step with its result."""
    update = {"status": "completed", "attempt": max(step.attempt, 1), "due": 0, "result": result, "error": ""}
    return step.model_copy(update=update)


def failed(step: StepState, error: str) -> StepState:
    """Return the step as failed for good."""
    update = {"status": "failed", "attempt": max(step.attempt, 1), "due": 0, "error": error}
    return step.model_copy(update=update)


def missed(step: StepState, error: str, now: int, *, retryable: bool) -> StepState:
    """Return the step in backoff before its next attempt, or failed where none is left."""
    if not retryable or step.attempt >= step.spec.max_attempts:
        return failed(step, error)
    return step.model_copy(update={"status": "backoff", "due": now + backoff_ns(step.attempt), "error": error})


def find(workflow: Workflow, step_id: str) -> StepState | None:
    """Return a step by its id."""
    return next((step for step in workflow.steps if step.spec.step_id == step_id), None)


def replaced(workflow: Workflow, step: StepState, now: int) -> Workflow:
    """Return the workflow with one step's new state; a step that failed fails it."""
    steps = tuple(step if each.spec.step_id == step.spec.step_id else each for each in workflow.steps)
    changed = _changed(workflow, now, steps=steps)
    if step.status != "failed":
        return changed
    spec = step.spec
    return ended(
        changed, "failed", f"Step {spec.step_id!r} ({spec.agent_pool}.{spec.action}) failed: {step.error}", now
    )


def ended(workflow: Workflow, status: WorkflowStatus, error: str, now: int) -> Workflow:
    """Return the workflow as ended; what has not ended by itself is cancelled."""
    return _changed(workflow, now, status=status, error=error, steps=tuple(map(_released, workflow.steps)))


def stopped(workflow: Workflow, reason: str, now: int) -> Workflow:
    """Return the workflow of a stopped run: cancelled with its start_run, so that the run is not announced again."""
    steps = tuple(_withdrawn(step, reason) for step in workflow.steps)
    return ended(workflow.model_copy(update={"steps": steps}), "cancelled", reason, now)


def _withdrawn(step: StepState, reason: str) -> StepState:
    if step.spec.agent_pool != ORCHESTRATOR:
        return step
    return step.model_copy(update={"status": "cancelled", "error": reason})


def next_due(workflow: Workflow) -> int:
    """Return when the earliest attempt times out or backoff ends; 0 for never."""
    return min((step.due for step in workflow.steps if step.due), default=0)


def _released(step: StepState) -> StepState:
    if step.status in ("completed", "failed", "cancelled"):
        return step
    return step.model_copy(update={"status": "cancelled", "due": 0})


def _changed(workflow: Workflow, now: int, **update: Any) -> Workflow:
    # Clocks of two orchestrators may differ: recorded time never goes back.
    return workflow.model_copy(update={**update, "ts_event": max(workflow.ts_event, now)})
