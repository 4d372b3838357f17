"""The workflow of a strategy template, with the parameters that its steps take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.definitions import steps_from_list
from orchestrator.sections import BUILT_IN_POOLS
from orchestrator.strategy import DEFAULT_STRATEGY_TYPE, model_parameters
from orchestrator.strategy_file import LoadedStrategy
from schemas import StepSpec
from streams.errors import ConfigError

CONSTRUCT = "construct_targets"
"""The action that turns signals into the orders that a cost step asks for."""
_COSTS = "transaction_cost_agent_pool"
_SIGNALS = ("generate_signals", "calculate_momentum")


def workflow_of(loaded: LoadedStrategy) -> dict[str, Any]:
    """Return the workflow that execute_workflow takes; raise ConfigError where the strategy has none, or no symbols.

    Each step gets what its action takes of the strategy (symbols, lookback_period, model, parameters), a step of a
    pool of one's own all of it; parameters that the step has itself count first. Where a step of the transaction cost
    pool follows signals that nobody turned into orders, construct_targets is put before it.
    """
    if loaded.workflow is None:
        raise ConfigError(
            f"Strategy {loaded.strategy.strategy_id!r} has no workflow, expected a list of {{step, agent}}"
        )
    loaded.strategy.to_spec()
    steps = _with_targets(steps_from_list(loaded.workflow))
    return {"steps": [_written(_filled(step, loaded)) for step in steps]}


def _written(step: StepSpec) -> dict[str, Any]:
    # Not model_dump, which turns parameters into a text.
    return {**{name: getattr(step, name) for name in StepSpec.model_fields}, "depends_on": list(step.depends_on)}


def _with_targets(steps: Sequence[StepSpec]) -> list[StepSpec]:
    actions = [step.action for step in steps]
    place = next((i for i, step in enumerate(steps) if step.agent_pool == _COSTS), None)
    signals = [step.step_id for step in steps[:place] if step.action in _SIGNALS]
    if place is None or CONSTRUCT in actions or not signals:
        return list(steps)
    cost = steps[place]
    targets = StepSpec(
        step_id=CONSTRUCT,
        agent_pool="portfolio_agent_pool",
        action=CONSTRUCT,
        depends_on=tuple(dict.fromkeys([*cost.depends_on, signals[-1]])),
    )
    after = cost.model_copy(update={"depends_on": (*cost.depends_on, CONSTRUCT)})
    return [*steps[:place], targets, after, *steps[place + 1 :]]


def _filled(step: StepSpec, loaded: LoadedStrategy) -> StepSpec:
    if step.agent_pool in BUILT_IN_POOLS:
        given = _GIVEN.get(step.action, _nothing)(loaded)
    else:
        given = {"symbols": list(loaded.strategy.symbols), **_momentum(loaded)}
    return step.model_copy(update={"parameters": {**given, **step.parameters}})


def _nothing(loaded: LoadedStrategy) -> dict[str, Any]:
    return {}


def _symbols(loaded: LoadedStrategy) -> dict[str, Any]:
    return {"symbols": list(loaded.strategy.symbols)}


def _fetch(loaded: LoadedStrategy) -> dict[str, Any]:
    given = {**_symbols(loaded), "lookback": loaded.strategy.lookback_period}
    if loaded.run.history_end:
        given["end"] = loaded.run.history_end
    if loaded.required_data:
        given["required_data"] = list(loaded.required_data)
    return given


def _momentum(loaded: LoadedStrategy) -> dict[str, Any]:
    strategy = loaded.strategy
    return {"lookback_period": strategy.lookback_period, **model_parameters(strategy.parameters)}


def _signals(loaded: LoadedStrategy) -> dict[str, Any]:
    strategy = loaded.strategy
    return {
        "strategy_type": strategy.parameters.get("strategy_type", DEFAULT_STRATEGY_TYPE),
        "lookback_period": strategy.lookback_period,
        "parameters": model_parameters(strategy.parameters),
    }


def _targets(loaded: LoadedStrategy) -> dict[str, Any]:
    capital = {"capital": loaded.run.initial_cash} if loaded.run.initial_cash else {}
    return {**capital, "parameters": model_parameters(loaded.strategy.parameters)}


_GIVEN: Mapping[str, Callable[[LoadedStrategy], dict[str, Any]]] = {
    "fetch_data": _fetch,
    "fetch_market_data": _fetch,
    "resolve_instruments": _symbols,
    "generate_signals": _signals,
    "calculate_momentum": _momentum,
    CONSTRUCT: _targets,
}
"""What the actions of the built-in pools take of a strategy."""
