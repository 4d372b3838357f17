"""What a YAML file asks for: a strategy, with how to run it, or a workflow."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.pool import AgentPool
from orchestrator.definitions import workflow_from_dict
from orchestrator.documents import parsed, read_document
from orchestrator.run_options import RunOptions
from orchestrator.strategy import TradingStrategy
from orchestrator.strategy_file import load_strategy
from orchestrator.strategy_workflow import workflow_of
from schemas import Command, ExecuteStrategy, StartStrategy
from streams.errors import ConfigError


@dataclass(frozen=True)
class Definition:
    """A strategy or a workflow, as its file says."""

    strategy: TradingStrategy | None = None
    run: RunOptions = field(default_factory=RunOptions)
    workflow: Mapping[str, Any] | None = None
    """With a strategy: what evaluates it instead of the standard steps."""
    name: str = ""
    """The strategy_id, or what a workflow without a workflow_id is called after."""
    pool: AgentPool | None = None
    """The pool of one's own that decides for the strategy."""


@dataclass(frozen=True)
class Asked:
    """What is to be done with a definition."""

    start: bool = False
    """Put the strategy on the data plane."""
    execute: bool = False
    """Place paper orders once."""


def read_definition(source: Path, overrides: Mapping[str, Any] | None = None) -> Definition:
    """Return what a file or a module:attr defines; raise ConfigError that names the source and the key."""
    if source.is_file() or ":" not in str(source):
        document = read_document(source)
        if "steps" in document:
            if overrides:
                raise ConfigError(f"{source}: --set is for a strategy, and the file defines a workflow")
            return Definition(workflow=document, name=source.stem)
    loaded = load_strategy(source, overrides)
    try:
        name = loaded.strategy.to_spec().strategy_id
        workflow = workflow_of(loaded) if loaded.workflow else None
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    return Definition(loaded.strategy, loaded.run, workflow, name, loaded.pool)


def overrides_of(changes: Iterable[str]) -> dict[str, Any]:
    """Return the values of KEY=VALUE texts, each value read as YAML; raise ConfigError for another text."""
    found: dict[str, Any] = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {change!r}: expected KEY=VALUE")
        found[key] = parsed(value, f"--set {key}")
    return found


def command_of(definition: Definition, asked: Asked, now: int, initial_capital: float) -> Command:
    """Return the command for a definition; now: ns UTC. Raises ConfigError where asked does not fit it."""
    name = f"{definition.name}-{uuid.uuid4().hex[:12]}"
    if definition.strategy is None and (asked.start or asked.execute):
        raise ConfigError("--start and --execute are for a strategy, and the file defines a workflow")
    if definition.strategy is None or (definition.workflow and not (asked.start or asked.execute)):
        return workflow_from_dict(definition.workflow or {}, now, workflow_id=name)
    if asked.start and asked.execute:
        raise ConfigError("give --start (run until stopped) or --execute (once), not both")
    run, spec = definition.run, definition.strategy.to_spec()
    if asked.start:
        return StartStrategy(
            workflow_id=name,
            ts_event=now,
            strategy=spec,
            end=run.history_end,
            initial_cash=run.initial_cash or initial_capital,
            account_id=run.account_id,
            check_history=run.check_history,
        )
    if run.initial_cash:
        spec = spec.model_copy(update={"parameters": {"initial_cash": run.initial_cash, **spec.parameters}})
    return ExecuteStrategy(workflow_id=name, ts_event=now, strategy=spec, end=run.history_end, execute=asked.execute)
