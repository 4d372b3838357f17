"""Workflows, strategies and accounts as the API shows them."""

from __future__ import annotations

from infra.server import models as m
from infra.server.accounts import Account, Accounts
from infra.server.executions import Execution
from infra.server.workflows import WorkflowRecord, Workflows
from orchestrator.results import strategy_result
from schemas import ExecuteStrategy, StartStrategy, StepState, Workflow
from streams.record import rfc3339


def workflow_view(workflow: Workflow, *, results: bool) -> m.WorkflowView:
    """Return a workflow; without results where several are listed."""
    return m.WorkflowView(
        workflow_id=workflow.workflow_id,
        kind=workflow.kind,
        status=workflow.status,
        steps=[_step(step, results) for step in workflow.steps],
        error=workflow.error,
        started=rfc3339(workflow.started),
        updated=rfc3339(workflow.ts_event),
    )


def _step(step: StepState, results: bool) -> m.StepView:
    return m.StepView(
        step_id=step.spec.step_id,
        agent_pool=step.spec.agent_pool,
        action=step.spec.action,
        status=step.status,
        attempt=step.attempt,
        depends_on=list(step.spec.depends_on),
        error=step.error,
        result=step.result if results and step.status == "completed" else None,
    )


def strategy_view(execution: Execution, workflows: Workflows, *, results: bool) -> m.StrategyStatus:
    """Return how a strategy stands."""
    command, run = execution.command, execution.run
    record = workflows.records.get(command.workflow_id)
    workflow = workflows.whole(record) if record else None
    status = execution.status(record.status if record else None)
    return m.StrategyStatus(
        strategy_id=command.strategy.strategy_id,
        workflow_id=command.workflow_id,
        run_id=run.run_id if run else None,
        account_id=run.account_id if run else None,
        action=execution.action,
        status=status,
        definition=_definition(execution),
        workflow=workflow_view(workflow, results=results) if workflow else None,
        result=_result(execution, workflow) if results and workflow and workflow.status == "completed" else None,
        error=(record.error or None) if record else None,
        created=rfc3339(command.ts_event),
        updated=rfc3339(_updated(execution, record)),
    )


def _definition(execution: Execution) -> m.StrategyDefinition:
    command = execution.command
    spec = command.strategy
    run = command if isinstance(command, StartStrategy) else None
    return m.StrategyDefinition(
        strategy_id=spec.strategy_id,
        name=spec.name,
        description=spec.description,
        symbols=list(spec.symbols),
        lookback_period=spec.lookback_period,
        rebalance_frequency=spec.rebalance_frequency,
        parameters=spec.parameters,
        execute=isinstance(command, ExecuteStrategy) and command.execute,
        initial_cash=run.initial_cash if run else spec.parameters.get("initial_cash"),
        history_end=command.end,
        check_history=run is None or run.check_history,
    )


def _result(execution: Execution, workflow: Workflow) -> dict[str, object] | None:
    if execution.action == "run":
        return None
    spent = (workflow.ts_event - workflow.started) / 1e9
    return strategy_result(execution.command.strategy.strategy_id, workflow, spent)


def _updated(execution: Execution, record: WorkflowRecord | None) -> int:
    times = [execution.command.ts_event]
    times += [record.updated] if record else []
    times += [execution.stopped.ts_event] if execution.stopped else []
    return max(times)


def account_view(account: Account, accounts: Accounts) -> m.AccountView | None:
    """Return an account's positions; None before its first slice."""
    state = account.state
    if state is None:
        return None
    holdings = [
        m.Holding(
            **{name: getattr(position, name) for name in type(position).model_fields},
            value=value,
            weight=value / state.equity if state.equity > 0 else None,
        )
        for position, value in zip(state.positions, accounts.values(state), strict=True)
    ]
    fields = {name: getattr(state, name) for name in type(state).model_fields if name in m.AccountView.model_fields}
    return m.AccountView(**{**fields, "positions": holdings}, run_id=account.run_id, updated=rfc3339(state.ts_event))


def risk_view(account: Account, accounts: Accounts) -> m.RiskView:
    """Return an account's limits and its use of them."""
    switch, state = account.switch, account.state
    gross = sum(map(abs, accounts.values(state))) / state.equity if state and state.equity > 0 else None
    return m.RiskView(
        account_id=account.account_id,
        run_id=account.run_id,
        limits=account.limits.model_dump() if account.limits else None,
        kill_switch=bool(switch and switch.active),
        pending=account.pending,
        reason=account.word.reason if account.word and account.pending else switch.reason if switch else "",
        changed=rfc3339(switch.ts_event) if switch else None,
        gross_exposure=gross,
    )
