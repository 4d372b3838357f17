"""Recipes: the steps that a strategy command stands for."""

from __future__ import annotations

from typing import Any

from orchestrator.strategy import DEFAULT_ALPHA_POOL, DEFAULT_STRATEGY_TYPE, alpha_pool_of, model_parameters
from schemas import ExecuteStrategy, StartStrategy, StepSpec, StrategySpec

ORCHESTRATOR = "orchestrator"
"""The pool name of steps that the orchestrator does itself."""
START_RUN = "start_run"
"""The action that puts a run on the data plane."""


def execute_steps(command: ExecuteStrategy) -> tuple[StepSpec, ...]:
    """Return the steps of one evaluation, ended by start_run where paper orders are asked for."""
    checks = _checks(command.strategy, command.start, command.end)
    if not command.execute:
        return checks
    return (*checks, _start_run(command.strategy, checks, {"once": True, "ts_event": command.ts_event}))


def start_steps(command: StartStrategy) -> tuple[StepSpec, ...]:
    """Return the steps that lead to a run: the checks, or only the reference data, then start_run."""
    strategy = command.strategy
    checks = _checks(strategy, command.start, command.end) if command.check_history else (_resolve(strategy),)
    own = {
        "once": False,
        "initial_cash": command.initial_cash,
        "account_id": command.account_id,
        "ts_event": command.ts_event,
    }
    return (*checks, _start_run(strategy, checks, own))


def _checks(strategy: StrategySpec, start: str, end: str) -> tuple[StepSpec, ...]:
    risk = StepSpec(
        step_id="assess_risk",
        agent_pool="risk_agent_pool",
        action="assess_risk",
        parameters={"model": "var"},
        depends_on=("fetch_data",),
    )
    if alpha_pool_of(strategy.parameters) != DEFAULT_ALPHA_POOL:
        # Only its own pool can tell what such a strategy would do.
        return (_fetch(strategy, start, end), risk)
    return (
        _fetch(strategy, start, end),
        StepSpec(
            step_id="generate_signals",
            agent_pool="alpha_agent_pool",
            action="generate_signals",
            parameters=_model(strategy),
            depends_on=("fetch_data",),
        ),
        risk,
        StepSpec(
            step_id="construct_targets",
            agent_pool="portfolio_agent_pool",
            action="construct_targets",
            parameters={"parameters": model_parameters(strategy.parameters)},
            depends_on=("generate_signals", "fetch_data"),
        ),
        StepSpec(
            step_id="estimate_cost",
            agent_pool="transaction_cost_agent_pool",
            action="estimate_execution_cost",
            depends_on=("construct_targets", "fetch_data"),
        ),
    )


def _fetch(strategy: StrategySpec, start: str, end: str) -> StepSpec:
    parameters: dict[str, Any] = {
        "symbols": list(strategy.symbols),
        "start": start,
        "end": end,
        "interval": "1d",
        "lookback": strategy.lookback_period,
    }
    if required := strategy.parameters.get("required_data"):
        parameters["required_data"] = required
    return StepSpec(
        step_id="fetch_data", agent_pool="data_agent_pool", action="fetch_market_data", parameters=parameters
    )


def _resolve(strategy: StrategySpec) -> StepSpec:
    return StepSpec(
        step_id="resolve_instruments",
        agent_pool="data_agent_pool",
        action="resolve_instruments",
        parameters={"symbols": list(strategy.symbols)},
    )


def _model(strategy: StrategySpec) -> dict[str, Any]:
    return {
        "strategy_type": strategy.parameters.get("strategy_type", DEFAULT_STRATEGY_TYPE),
        "lookback_period": strategy.lookback_period,
        "parameters": model_parameters(strategy.parameters),
    }


def _start_run(strategy: StrategySpec, checks: tuple[StepSpec, ...], own: dict[str, Any]) -> StepSpec:
    fields = {
        "strategy_id": strategy.strategy_id,
        "lookback_period": strategy.lookback_period,
        "rebalance_frequency": strategy.rebalance_frequency,
        "parameters": strategy.parameters,
    }
    return StepSpec(
        step_id=START_RUN,
        agent_pool=ORCHESTRATOR,
        action=START_RUN,
        parameters=fields | own,
        depends_on=tuple(step.step_id for step in checks),
    )
