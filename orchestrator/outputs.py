"""The messages that a workflow's state stands for, each under an id that its redelivery would have again."""

from __future__ import annotations

from typing import Any

from orchestrator.planner import ancestors
from orchestrator.recipes import ORCHESTRATOR
from orchestrator.runs import announcement
from orchestrator.transitions import timeout_ns
from schemas import KillSwitchSet, Message, RunStep, SetKillSwitch, StepState, StopStrategy, StrategyStopped, Workflow
from streams.ids import derive_id

Outputs = tuple[tuple[str, Message], ...]
"""Messages with their ids, in the order of sending."""


def outputs(before: Workflow | None, workflow: Workflow, message_id: str) -> Outputs:
    """Return what changed between two states: attempts begun, the run announced, the workflow last.

    Without a state before, everything that the present one stands for.
    """
    known = {step.spec.step_id: step for step in before.steps} if before else {}
    changed = [step for step in workflow.steps if step != known.get(step.spec.step_id)]
    attempts = tuple(_attempt(workflow, step) for step in changed if step.status == "running")
    runs = tuple(_run(workflow, step) for step in changed if _is_announced(step))
    return (*attempts, *runs, _state(workflow, message_id))


def stop_outputs(workflow: Workflow, stop: StopStrategy, message_id: str) -> Outputs:
    """Return what a stop command leads to, however often it comes."""
    stopped = StrategyStopped(run_id=stop.run_id, reason=stop.reason, ts_event=stop.ts_event)
    return ((derive_id(message_id, ORCHESTRATOR, "stopped"), stopped), _state(workflow, message_id))


def switch_outputs(workflow: Workflow, command: SetKillSwitch, message_id: str) -> Outputs:
    """Return what an operator's word leads to, however often it comes."""
    word = KillSwitchSet(
        account_id=command.account_id,
        active=command.active,
        reason=command.reason,
        command_id=message_id,
        ts_event=command.ts_event,
    )
    return ((derive_id(message_id, ORCHESTRATOR, "switch"), word), _state(workflow, message_id))


def results_before(workflow: Workflow, step_id: str) -> dict[str, dict[str, Any]]:
    """Return the results of all steps that a step needs, directly or through others, by step_id."""
    needed = ancestors([step.spec for step in workflow.steps], step_id)
    return {step.spec.step_id: step.result for step in workflow.steps if step.spec.step_id in needed}


def _attempt(workflow: Workflow, step: StepState) -> tuple[str, Message]:
    spec = step.spec
    message = RunStep(
        workflow_id=workflow.workflow_id,
        step_id=spec.step_id,
        attempt=step.attempt,
        agent_pool=spec.agent_pool,
        action=spec.action,
        parameters=spec.parameters,
        inputs=results_before(workflow, spec.step_id),
        deadline=step.due,
        # From the state, not from the clock: sent again, it is the same message.
        ts_event=step.due - timeout_ns(step),
    )
    return derive_id(workflow.workflow_id, ORCHESTRATOR, spec.step_id, step.attempt), message


def _run(workflow: Workflow, step: StepState) -> tuple[str, Message]:
    message = announcement(workflow, step.spec, results_before(workflow, step.spec.step_id))
    return derive_id(workflow.workflow_id, ORCHESTRATOR, step.spec.step_id, "started"), message


def _is_announced(step: StepState) -> bool:
    return step.spec.agent_pool == ORCHESTRATOR and step.status == "completed"


def _state(workflow: Workflow, message_id: str) -> tuple[str, Message]:
    return derive_id(message_id, ORCHESTRATOR, "workflow"), workflow
