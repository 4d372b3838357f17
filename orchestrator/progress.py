"""Progress of a workflow: beginning what is ready, doing the orchestrator's own steps, completing."""

from __future__ import annotations

from orchestrator.events import Context
from orchestrator.outputs import results_before
from orchestrator.recipes import ORCHESTRATOR
from orchestrator.runs import announcement, outcome
from orchestrator.transitions import begun, completed, ended, failed, replaced
from schemas import StepState, Workflow
from streams.errors import FinAgentError


def progressed(workflow: Workflow, context: Context) -> Workflow:
    """Return the workflow with every ready step begun, its own steps done, and completed where nothing is left."""
    while workflow.status == "running" and (step := _next_ready(workflow, context.max_concurrent_tasks)):
        begins = _run_here(workflow, step) if step.spec.agent_pool == ORCHESTRATOR else begun(step, context.now)
        workflow = replaced(workflow, begins, context.now)
    if all(step.status == "completed" for step in workflow.steps):
        return ended(workflow, "completed", "", context.now)
    return workflow


def _next_ready(workflow: Workflow, slots: int) -> StepState | None:
    if sum(step.status in ("running", "backoff") for step in workflow.steps) >= slots:
        return None
    done = {step.spec.step_id for step in workflow.steps if step.status == "completed"}
    return next((s for s in workflow.steps if s.status == "waiting" and done.issuperset(s.spec.depends_on)), None)


def _run_here(workflow: Workflow, step: StepState) -> StepState:
    try:
        run = announcement(workflow, step.spec, results_before(workflow, step.spec.step_id))
    except FinAgentError as error:
        return failed(step, str(error))
    return completed(step, outcome(run))
