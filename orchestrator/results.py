"""What the facade's callers read: dicts with the documented keys."""

from __future__ import annotations

from typing import Any

from schemas import Workflow
from streams.record import rfc3339


def workflow_result(workflow: Workflow) -> dict[str, Any]:
    """Return status and per-step results."""
    return {
        "workflow_id": workflow.workflow_id,
        "status": workflow.status,
        "results": {step.spec.step_id: step.result for step in workflow.steps if step.status == "completed"},
        "steps": {step.spec.step_id: step.status for step in workflow.steps},
        "timestamp": rfc3339(workflow.ts_event),
        **({"error": workflow.error} if workflow.error else {}),
    }


def strategy_result(strategy_id: str, workflow: Workflow, execution_time: float) -> dict[str, Any]:
    """Return the outcome of one evaluation; execution_time in seconds. On failure it has an error and no signals."""
    found = {step.spec.step_id: step.result for step in workflow.steps}
    fetched = found.get("fetch_data", {})
    return {
        "strategy_id": strategy_id,
        "workflow_id": workflow.workflow_id,
        "status": workflow.status,
        "execution_time": execution_time,
        "signals": found.get("generate_signals", {}).get("signals", []),
        "risk_metrics": found.get("assess_risk", {}).get("risk_metrics", {}),
        "targets": found.get("construct_targets", {}).get("orders", []),
        "transaction_costs": found.get("estimate_cost", {}).get("transaction_costs", {}),
        "data": {key: value for key, value in fetched.items() if key != "instruments"},
        "timestamp": rfc3339(workflow.ts_event),
        **({"error": workflow.error} if workflow.status != "completed" else {}),
    }
