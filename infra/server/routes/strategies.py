"""Strategies: submit, follow, stop."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Query, Response

from infra.server import models as m
from infra.server.executions import Execution, StrategyCommand
from infra.server.idempotency import id_of
from infra.server.pages import paged
from infra.server.problems import RETRY_S, Refused, responses
from infra.server.services import Cursor, In, Key, Limit, Services, Working
from infra.server.views import strategy_view
from orchestrator.strategy import TradingStrategy
from orchestrator.strategy_file import strategy_from_dict
from schemas import ExecuteStrategy, StartStrategy
from streams.errors import MissingData
from streams.record import rfc3339

router = APIRouter(prefix="/strategies", tags=["strategies"])
ROUTE = "/strategies"


@router.post("", status_code=202, response_model=m.StrategyStatus, responses=responses(409, 422, 429, 503))
async def submit(body: m.StrategyBody, services: Working, response: Response, key: Key = None) -> m.StrategyStatus:
    """Evaluate a strategy once, or run it until it is stopped. The same definition while it works is one strategy."""
    strategy = _checked(body)
    services.idempotency.check(ROUTE, key, body)
    name = id_of(ROUTE, key) if key else f"{body.strategy_id}-{uuid.uuid4().hex[:12]}"
    command = _command(body, strategy, name, services)
    execution = _known(command, services)
    if execution is None:
        execution = await _submitted(command, services, key)
    response.headers["Location"] = f"{ROUTE}/{body.strategy_id}"
    return strategy_view(execution, services.live.workflows, results=True)


def _checked(body: m.StrategyBody) -> TradingStrategy:
    fields = ("strategy_id", "name", "description", "symbols", "lookback_period", "rebalance_frequency", "parameters")
    return strategy_from_dict({name: getattr(body, name) for name in fields}).strategy


def _command(body: m.StrategyBody, strategy: TradingStrategy, name: str, services: Services) -> StrategyCommand:
    now, spec = services.orchestrator.clock.now(), strategy.to_spec()
    if body.action == "run":
        return StartStrategy(
            workflow_id=name,
            ts_event=now,
            strategy=spec,
            end=body.history_end,
            initial_cash=body.initial_cash or services.settings.sandbox.initial_capital,
            check_history=body.check_history,
        )
    if body.initial_cash:
        spec = spec.model_copy(update={"parameters": {"initial_cash": body.initial_cash, **spec.parameters}})
    return ExecuteStrategy(workflow_id=name, ts_event=now, strategy=spec, end=body.history_end, execute=body.execute)


def _known(command: StrategyCommand, services: Services) -> Execution | None:
    """Return the execution that a command repeats; raise Refused where it contradicts one."""
    live = services.live
    same_name = live.executions.by_workflow.get(command.workflow_id)
    working = live.executions.current(command.strategy.strategy_id, lambda each: lives(each, services))
    if working is not None and not lives(working, services):
        working = None
    execution = same_name or working
    if execution is not None and not execution.same_definition(command):
        what = f"strategy {command.strategy.strategy_id!r} is running with another definition; stop it first"
        raise Refused(409, what if same_name is None else "the Idempotency-Key was used for another request")
    return execution


def lives(execution: Execution, services: Services) -> bool:
    """Return whether an execution is still at work."""
    record = services.live.workflows.records.get(execution.command.workflow_id)
    return execution.trades or execution.status(record.status if record else None) in ("running", "active")


async def _submitted(command: StrategyCommand, services: Services, key: str | None) -> Execution:
    live = services.live
    check_room(services)
    execution = live.executions.learn_command(command)
    live.workflows.submitted.add(command.workflow_id)
    try:
        await services.orchestrator.client.submit(command)
    except BaseException:
        live.workflows.submitted.discard(command.workflow_id)
        live.executions.forget(command.workflow_id)
        services.idempotency.release(ROUTE, key)
        raise
    return execution


def check_room(services: Services) -> None:
    """Raise Refused where as many workflows are in flight as may be."""
    if why := services.full():
        raise Refused(429, why, retry_s=RETRY_S)


@router.get("", response_model=m.Page[m.StrategyStatus], responses=responses(422))
async def listed(services: In, limit: Limit = 100, cursor: Cursor = None) -> m.Page[m.StrategyStatus]:
    """List strategies, the one submitted last first; without results."""
    executions = services.live.executions
    found = [executions.current(name, lambda each: lives(each, services)) for name in executions.by_strategy]
    present = [each for each in found if each is not None]
    page, following = paged(
        present, limit, cursor, lambda each: (each.command.ts_event, each.command.strategy.strategy_id)
    )
    return m.Page(items=[strategy_view(each, services.live.workflows, results=False) for each in page], next=following)


@router.get("/{strategy_id}", response_model=m.StrategyStatus, responses=responses(404))
async def one(strategy_id: str, services: In) -> m.StrategyStatus:
    """Tell how a strategy stands, with the result of its evaluation."""
    return strategy_view(_found(strategy_id, services), services.live.workflows, results=True)


def _found(strategy_id: str, services: Services) -> Execution:
    found = services.live.executions.current(strategy_id, lambda each: lives(each, services))
    if found is None:
        raise MissingData(f"no strategy {strategy_id!r}")
    return found


@router.get("/{strategy_id}/equity", response_model=m.EquityCurve, responses=responses(404, 422))
async def equity(strategy_id: str, services: In, points: Annotated[int, Query(ge=2, le=10_000)] = 500) -> m.EquityCurve:
    """Tell the equity of the strategy's run over time."""
    run = _found(strategy_id, services).run
    if run is None:
        return m.EquityCurve(run_id=None, items=[])
    curve = services.live.accounts.of(run.account_id).curve
    items = [m.EquityPoint(time=rfc3339(ts), equity=value, cash=cash) for ts, value, cash in curve.thinned(points)]
    return m.EquityCurve(run_id=run.run_id, items=items)


@router.delete("/{strategy_id}", response_model=m.StrategyStatus, responses=responses(403, 404, 503))
async def stop(
    strategy_id: str, services: Working, reason: Annotated[str, Query(max_length=500)] = "stopped by user"
) -> m.StrategyStatus:
    """Cancel its workflow, stop its run, cancel the run's open orders; the record stays."""
    found = _found(strategy_id, services)
    orchestrator, records = services.orchestrator, services.live.workflows.records
    for each in services.live.executions.of(strategy_id):
        name, record = each.command.workflow_id, records.get(each.command.workflow_id)
        if each.action == "run" and lives(each, services):
            await orchestrator.stop_strategy(name, reason)
        elif record is None or record.status == "running":
            await orchestrator.cancel_workflow(name, reason)
        if each.action == "evaluate" and each.trades:
            await orchestrator.stop_strategy(name, reason)
    await services.live.until(lambda: not lives(found, services), f"strategy {strategy_id!r} to stop")
    return strategy_view(found, services.live.workflows, results=True)
