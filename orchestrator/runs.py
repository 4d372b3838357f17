"""Putting a run on the data plane: what start_run announces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from agents.alpha.models import MODELS, check_limits
from orchestrator.recipes import ORCHESTRATOR
from orchestrator.strategy import DEFAULT_ALPHA_POOL, alpha_pool_of, model_parameters, strategy_type_of
from orchestrator.wording import problems, unknown
from schemas import Instrument, RiskLimits, StepSpec, StrategyStarted, Workflow
from streams.errors import ConfigError, UnknownPool, WorkflowError
from streams.topics import KILL_SWITCH


def with_defaults(
    step: StepSpec, limits: RiskLimits, *, initial_cash: float, alpha_pools: frozenset[str] | None
) -> StepSpec:
    """Return a start_run step with its cash and limits filled in; what it announces never depends on later settings.

    Any other step is returned as it is. Raises ConfigError or UnknownPool where the strategy's own values are wrong.
    """
    if step.agent_pool != ORCHESTRATOR:
        return step
    own = _own_parameters(step)
    alpha_pool = alpha_pool_of(own)
    if alpha_pools is not None and alpha_pool not in alpha_pools:
        raise UnknownPool(f"Step {step.step_id!r}: {unknown('alpha_pool', alpha_pool, alpha_pools)}")
    cash = step.parameters.get("initial_cash", own.get("initial_cash", initial_cash))
    if isinstance(cash, bool) or not isinstance(cash, int | float) or cash <= 0:
        raise ConfigError(f"Step {step.step_id!r}: initial_cash must be a positive number, got {cash!r}")
    merged = _limits(step, limits, own)
    _check_model(step, alpha_pool, own, merged)
    filled = {"initial_cash": cash, "limits": merged.model_dump()}
    return step.model_copy(update={"parameters": step.parameters | filled})


def announcement(workflow: Workflow, step: StepSpec, results: Mapping[str, Mapping[str, Any]]) -> StrategyStarted:
    """Return what a start_run step says, from its parameters and the results of the steps before it.

    Raises WorkflowError where instruments are missing or differ in currency, or a field is wrong.
    """
    own, given = _own_parameters(step), step.parameters
    if workflow.workflow_id.startswith(KILL_SWITCH):
        raise WorkflowError(f"run {workflow.workflow_id!r}: names beginning with {KILL_SWITCH!r} are for kill switches")
    instruments = _instruments(results)
    fields = {
        "run_id": workflow.workflow_id,
        "strategy_id": given.get("strategy_id", ""),
        "account_id": given.get("account_id") or f"acct-{workflow.workflow_id}",
        "workflow_id": workflow.workflow_id,
        "alpha_pool": alpha_pool_of(own),
        "strategy_type": strategy_type_of(own),
        "lookback_period": given.get("lookback_period", 20),
        "rebalance_frequency": given.get("rebalance_frequency", "daily"),
        "parameters": model_parameters(own),
        "instruments": instruments,
        "currency": _currency(instruments),
        "initial_cash": given["initial_cash"],
        "limits": given["limits"],
        "once": given.get("once", True),
        "ts_event": given.get("ts_event", workflow.started),
    }
    try:
        return StrategyStarted.model_validate(fields)
    except ValidationError as error:
        raise WorkflowError(problems(error)) from error


def outcome(run: StrategyStarted) -> dict[str, Any]:
    """Return the result of a start_run step."""
    return {"run_id": run.run_id, "account_id": run.account_id}


def _own_parameters(step: StepSpec) -> dict[str, Any]:
    own = step.parameters.get("parameters", {})
    if not isinstance(own, dict):
        raise ConfigError(f"Step {step.step_id!r}: parameters of the strategy must be a dict, got {own!r}")
    return own


def _limits(step: StepSpec, defaults: RiskLimits, own: Mapping[str, Any]) -> RiskLimits:
    asked = own.get("limits", {})
    if not isinstance(asked, dict):
        raise ConfigError(f"Step {step.step_id!r}: limits must be a dict, got {asked!r}")
    for key in asked:
        if key not in RiskLimits.model_fields:
            raise ConfigError(f"Step {step.step_id!r}: {unknown('limit', key, RiskLimits.model_fields)}")
    try:
        return RiskLimits.model_validate(defaults.model_dump() | asked)
    except ValidationError as error:
        raise ConfigError(f"Step {step.step_id!r}: limits: {problems(error)}") from error


def _check_model(step: StepSpec, alpha_pool: str, own: Mapping[str, Any], limits: RiskLimits) -> None:
    """Raise ConfigError where the built-in model cannot trade within the limits."""
    kind = strategy_type_of(own)
    if alpha_pool != DEFAULT_ALPHA_POOL or kind not in MODELS:
        return
    try:
        check_limits(kind, limits)
    except ConfigError as error:
        raise ConfigError(f"Step {step.step_id!r}: {error}") from error


def _instruments(results: Mapping[str, Mapping[str, Any]]) -> tuple[Instrument, ...]:
    for step_id, result in results.items():
        listed = result.get("instruments")
        if isinstance(listed, list) and listed and all(isinstance(each, dict) for each in listed):
            return _parsed(step_id, listed)
    raise WorkflowError(f"no step before it returned instruments; looked into ({', '.join(results)})")


def _parsed(step_id: str, listed: list[dict[str, Any]]) -> tuple[Instrument, ...]:
    try:
        return tuple(Instrument.model_validate(each) for each in listed)
    except ValidationError as error:
        raise WorkflowError(f"instruments of step {step_id!r}: {problems(error)}") from error


def _currency(instruments: Sequence[Instrument]) -> str:
    currencies = sorted({each.currency for each in instruments})
    if len(currencies) > 1:
        listed = ", ".join(f"{each.instrument_id} in {each.currency}" for each in instruments)
        raise WorkflowError(f"an account holds one currency, got {len(currencies)}: {listed}")
    return currencies[0]
