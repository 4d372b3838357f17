"""Workflows: submit, follow, cancel."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Query, Response

from infra.server import models as m
from infra.server.idempotency import id_of
from infra.server.pages import paged
from infra.server.problems import Refused, responses
from infra.server.routes.strategies import check_room
from infra.server.services import Cursor, In, Key, Limit, Services, Working
from infra.server.views import workflow_view
from orchestrator.definitions import workflow_from_dict
from orchestrator.planner import plan
from orchestrator.wiring import known_pools
from schemas import ExecuteWorkflow, Workflow
from schemas.workflow import WorkflowStatus
from streams.errors import WorkflowError
from streams.record import rfc3339

router = APIRouter(prefix="/workflows", tags=["workflows"])
ROUTE = "/workflows"


@router.post("", status_code=202, response_model=m.WorkflowView, responses=responses(409, 422, 429, 503))
async def submit(body: m.WorkflowBody, services: Working, response: Response, key: Key = None) -> m.WorkflowView:
    """Run a workflow once. A workflow_id names one execution: giving it again gives what that came to."""
    named = body.workflow_id or (id_of(ROUTE, key) if key else f"workflow-{uuid.uuid4().hex[:12]}")
    command = _command(body, named, services)
    services.idempotency.check(ROUTE, key, body)
    response.headers["Location"] = f"{ROUTE}/{named}"
    live = services.live
    if named in live.workflows.records:
        return workflow_view(_same(command, live.workflows.get(named)), results=True)
    if named not in live.workflows.submitted:
        await _submitted(command, services, key)
    return _just_submitted(command)


def _command(body: m.WorkflowBody, named: str, services: Services) -> ExecuteWorkflow:
    steps = [each.model_dump(exclude_none=True) for each in body.steps]
    command = workflow_from_dict({"steps": steps}, services.orchestrator.clock.now(), workflow_id=named)
    try:
        plan(command, known_pools(services.settings, services.orchestrator.registered))
    except WorkflowError as error:
        raise Refused(422, str(error)) from error
    return command


def _same(command: ExecuteWorkflow, known: Workflow) -> Workflow:
    """Return a workflow that is there; raise Refused where it has other steps."""
    there = {step.spec.step_id: step.spec for step in known.steps}
    if there and there != {step.step_id: step for step in command.steps}:
        raise Refused(409, f"workflow {command.workflow_id!r} was executed with other steps")
    return known


async def _submitted(command: ExecuteWorkflow, services: Services, key: str | None) -> None:
    check_room(services)
    submitted = services.live.workflows.submitted
    submitted.add(command.workflow_id)
    try:
        await services.orchestrator.client.submit(command)
    except BaseException:
        submitted.discard(command.workflow_id)
        services.idempotency.release(ROUTE, key)
        raise


def _just_submitted(command: ExecuteWorkflow) -> m.WorkflowView:
    time = rfc3339(command.ts_event)
    return m.WorkflowView(
        workflow_id=command.workflow_id,
        kind=type(command).__name__,
        status="running",
        steps=[],
        error="",
        started=time,
        updated=time,
    )


@router.get("", response_model=m.Page[m.WorkflowView], responses=responses(422))
async def listed(
    services: In, limit: Limit = 100, cursor: Cursor = None, status: Annotated[WorkflowStatus | None, Query()] = None
) -> m.Page[m.WorkflowView]:
    """List workflows, the one started last first; without results."""
    workflows = services.live.workflows
    found = [each for each in workflows.records.values() if status is None or each.status == status]
    page, following = paged(found, limit, cursor, lambda each: (each.started, each.workflow_id))
    return m.Page(items=[workflow_view(workflows.whole(each), results=False) for each in page], next=following)


@router.get("/{workflow_id}", response_model=m.WorkflowView, responses=responses(404))
async def one(workflow_id: str, services: In) -> m.WorkflowView:
    """Tell how a workflow stands, with the results of its steps."""
    return workflow_view(services.live.workflows.get(workflow_id), results=True)


@router.delete("/{workflow_id}", response_model=m.WorkflowView, responses=responses(403, 404, 422, 503))
async def cancel(
    workflow_id: str, services: Working, reason: Annotated[str, Query(max_length=500)] = "cancelled by user"
) -> m.WorkflowView:
    """Cancel a workflow; one that has ended stays as it is."""
    workflows = services.live.workflows
    workflows.get(workflow_id)
    if workflows.records[workflow_id].status == "running":
        await services.orchestrator.cancel_workflow(workflow_id, reason)
        await services.live.until(
            lambda: workflows.records[workflow_id].status != "running", f"workflow {workflow_id!r} to end"
        )
    return workflow_view(workflows.get(workflow_id), results=True)
