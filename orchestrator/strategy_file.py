"""Strategies from files, template dicts and modules: one way to read them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agents.alpha.models import MODELS, history_needed, parse_parameters
from agents.data.requirements import check_required
from agents.parameters import ConstructionParameters, names
from agents.pool import AgentPool
from orchestrator.documents import read_document
from orchestrator.imports import imported, imported_pool
from orchestrator.overrides import filled
from orchestrator.parameter_spec import ParameterSpec
from orchestrator.run_options import RunOptions
from orchestrator.strategy import (
    DEFAULT_ALPHA_POOL,
    DEFAULT_STRATEGY_TYPE,
    RL,
    TradingStrategy,
    alpha_pool_of,
    model_parameters,
    strategy_type_of,
)
from orchestrator.strategy_document import StrategyDocument, TemplateKeys, parse_document
from orchestrator.wording import problems, unknown
from rl.parameters import parse_parameters as parse_policy_parameters
from schemas import RiskLimits
from streams.errors import ConfigError

__all__ = [
    "LoadedStrategy",
    "check_required",
    "document_of",
    "load_strategy",
    "strategy_from_dict",
    "strategy_from_template",
]


@dataclass(frozen=True)
class LoadedStrategy:
    """A strategy with all that its file says."""

    strategy: TradingStrategy
    pool: AgentPool | None = None
    """The pool of one's own that decides; None: a pool that the system has."""
    workflow: tuple[Mapping[str, Any], ...] | None = None
    """The template's steps as written; workflow_of fills in their parameters."""
    required_data: tuple[str, ...] = ()
    """What its data must have."""
    declared: Mapping[str, ParameterSpec] = field(default_factory=dict)
    """The parameters that may be overridden within a range."""
    run: RunOptions = field(default_factory=RunOptions)
    """How it is run."""


def load_strategy(source: str | Path, overrides: Mapping[str, Any] | None = None) -> LoadedStrategy:
    """Return the strategy of a YAML file, or of module:attr: a template dict, a TradingStrategy or an alpha AgentPool.

    overrides: values of parameters, and of symbols, limits and the other fields; declared ones within their range.
    Raises ConfigError that names the source, the key and what was expected.
    """
    try:
        return strategy_from_dict(document_of(source), overrides)
    except ConfigError as error:
        raise error if str(error).startswith(str(source)) else ConfigError(f"{source}: {error}") from error


def strategy_from_template(template: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> LoadedStrategy:
    """Return the strategy of {name, description, required_data, parameters, workflow}; symbols may be an override."""
    return strategy_from_dict(template, overrides)


def strategy_from_dict(document: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> LoadedStrategy:
    """Return the strategy of a template, or of plain fields of TradingStrategy; raise ConfigError naming the key."""
    parsed = parse_document(document)
    pool = _pool(parsed.template)
    parsed = filled(parsed, overrides or {}, _known(parsed, pool))
    strategy = _strategy(parsed, pool)
    _check(strategy, parsed.template)
    return LoadedStrategy(
        strategy=strategy,
        pool=pool,
        workflow=parsed.template.workflow,
        required_data=parsed.template.required_data,
        declared=parsed.declared,
        run=parsed.run,
    )


def document_of(source: str | Path) -> Mapping[str, Any]:
    """Return a strategy as it was written; raise ConfigError where there is none."""
    if ":" not in str(source) or Path(source).exists():
        return read_document(Path(source))
    found = imported(str(source))
    if isinstance(found, AgentPool):
        return {"name": found.name, "pool": str(source)}
    if isinstance(found, TradingStrategy):
        return vars(found)
    if isinstance(found, Mapping):
        return found
    raise ConfigError(f"expected a template dict, a TradingStrategy or an AgentPool, got {type(found).__name__}")


def _pool(template: TemplateKeys) -> AgentPool | None:
    if template.pool is None:
        return None
    pool = imported_pool(template.pool)
    if pool.role != "alpha":
        raise ConfigError(f"pool {template.pool!r} has role {pool.role!r}, a strategy needs one with role 'alpha'")
    return pool


def _known(parsed: StrategyDocument, pool: AgentPool | None) -> set[str] | None:
    """Return the parameters that an override may add; None: any, since a pool of one's own declares none."""
    if pool is not None or _alpha_pool(parsed) != DEFAULT_ALPHA_POOL:
        return set() if parsed.declared else None
    kind = parsed.template.strategy_type or parsed.values.get("strategy_type", DEFAULT_STRATEGY_TYPE)
    model = MODELS.get(kind)
    return (names(model.parameters) if model else set()) | names(ConstructionParameters)


def _alpha_pool(parsed: StrategyDocument) -> str:
    kind = {"strategy_type": parsed.template.strategy_type} if parsed.template.strategy_type else {}
    return alpha_pool_of({**parsed.values, **kind})


def _strategy(parsed: StrategyDocument, pool: AgentPool | None) -> TradingStrategy:
    template, parameters = parsed.template, dict(parsed.values)
    own = {"strategy_type": template.strategy_type, "alpha_pool": pool and pool.name, "limits": template.limits}
    for key, value in {**own, "required_data": list(template.required_data)}.items():
        if value and parameters.setdefault(key, value) != value:
            raise ConfigError(f"{key} is {value!r}, and {parameters[key]!r} among the parameters; give one value")
    return TradingStrategy(**{"symbols": [], **parsed.fields}, parameters=parameters)


def _check(strategy: TradingStrategy, template: TemplateKeys) -> None:
    if strategy.symbols:
        strategy.to_spec()
    _check_limits(strategy.parameters.get("limits", {}))
    decided = "strategy_type" in strategy.parameters or template.workflow is None
    if alpha_pool_of(strategy.parameters) == RL:
        parse_policy_parameters(model_parameters(strategy.parameters))
    if decided and alpha_pool_of(strategy.parameters) == DEFAULT_ALPHA_POOL:
        kind = strategy_type_of(strategy.parameters)
        parameters = parse_parameters(kind, model_parameters(strategy.parameters))
        history_needed(kind, parameters, strategy.lookback_period)


def _check_limits(limits: Any) -> None:
    if not isinstance(limits, Mapping):
        raise ConfigError(f"limits must be a dict, got {limits!r}")
    for key in limits:
        if key not in RiskLimits.model_fields:
            raise ConfigError(unknown("limit", str(key), RiskLimits.model_fields))
    try:
        RiskLimits.model_validate(dict(limits))
    except ValidationError as error:
        raise ConfigError(f"limits: {problems(error)}") from error
