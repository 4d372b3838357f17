"""What a YAML file asks for: a strategy, with how to run it, or a workflow."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.definitions import workflow_from_dict
from orchestrator.strategy import TradingStrategy
from orchestrator.wording import problems, unknown
from schemas import Command, ExecuteStrategy, StartStrategy
from streams.errors import ConfigError


class RunOptions(BaseModel):
    """How a strategy is run; written beside its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    initial_cash: float | None = Field(default=None, gt=0)
    """Deposited into the run's account; without it sandbox.initial_capital."""
    account_id: str = ""
    """A shared account, with --start; empty: one of the run's own."""
    history_end: str = ""
    """Last session of the history that is looked at, ISO date; empty: the last there is."""
    check_history: bool = True
    """False, with --start: start without looking at history."""


@dataclass(frozen=True)
class Definition:
    """A strategy or a workflow, as its file says."""

    strategy: TradingStrategy | None = None
    run: RunOptions = field(default_factory=RunOptions)
    workflow: Mapping[str, Any] | None = None
    name: str = ""
    """The strategy_id, or what a workflow without a workflow_id is called after."""


@dataclass(frozen=True)
class Asked:
    """What is to be done with a definition."""

    start: bool = False
    """Put the strategy on the data plane."""
    execute: bool = False
    """Place paper orders once."""


_STRATEGY_KEYS = tuple(each.name for each in fields(TradingStrategy))


def read_definition(path: Path) -> Definition:
    """Return what a file defines; raise ConfigError that names the file and the key."""
    try:
        document = _plain(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected a strategy or a workflow, got {document!r}")
    if "steps" in document:
        return Definition(workflow=document, name=path.stem)
    return _strategy(path, document)


def _strategy(path: Path, document: Mapping[str, Any]) -> Definition:
    known = (*_STRATEGY_KEYS, *RunOptions.model_fields)
    for key in document:
        if key not in known:
            raise ConfigError(f"{path}: {unknown('key', str(key), known)}; a workflow has steps")
    if missing := [key for key in ("strategy_id", "name", "symbols") if key not in document]:
        raise ConfigError(f"{path}: a strategy needs {', '.join(missing)}; a workflow needs steps")
    strategy = TradingStrategy(**{key: value for key, value in document.items() if key in _STRATEGY_KEYS})
    try:
        run = RunOptions(**{key: value for key, value in document.items() if key not in _STRATEGY_KEYS})
        return Definition(strategy, run, name=strategy.to_spec().strategy_id)
    except ValidationError as error:
        raise ConfigError(f"{path}: {problems(error)}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def command_of(definition: Definition, asked: Asked, now: int, initial_capital: float) -> Command:
    """Return the command for a definition; now: ns UTC. Raises ConfigError where asked does not fit it."""
    name = f"{definition.name}-{uuid.uuid4().hex[:12]}"
    if definition.strategy is None:
        if asked.start or asked.execute:
            raise ConfigError("--start and --execute are for a strategy, and the file defines a workflow")
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


def _plain(value: Any) -> Any:
    # YAML reads an unquoted 2012-01-03 as a date, which JSON has not.
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, dt.date) else value
