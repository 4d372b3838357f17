"""The keys of a strategy file, sorted by what they are for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agents.data.requirements import check_names
from orchestrator.definitions import steps_from_list
from orchestrator.parameter_spec import ParameterSpec, is_spec
from orchestrator.run_options import RunOptions
from orchestrator.strategy import TradingStrategy
from orchestrator.wording import problems, unknown
from streams.errors import ConfigError


class TemplateKeys(BaseModel):
    """What a template says beside the fields of a strategy."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    strategy_type: str | None = None
    """The model of the built-in alpha pool."""
    pool: str | None = None
    """A pool of one's own, module:attr, that decides instead."""
    limits: dict[str, Any] = Field(default_factory=dict)
    """Risk limits that differ from the configured ones."""
    required_data: tuple[str, ...] = ()
    """What the data must have: price_data, volume_data, volatility_data."""
    workflow: tuple[dict[str, Any], ...] | None = None
    """Steps {step, agent}, each with parameters of its own where it needs some."""


@dataclass(frozen=True)
class StrategyDocument:
    """A strategy file, its parameters not filled in yet."""

    fields: Mapping[str, Any]
    """Those of TradingStrategy but parameters."""
    template: TemplateKeys
    run: RunOptions
    declared: Mapping[str, ParameterSpec]
    """Parameters written as {type, default, min, max, choices}."""
    values: Mapping[str, Any]
    """Parameters written as values."""


_FIELDS = tuple(each.name for each in fields(TradingStrategy) if each.name != "parameters")
_KNOWN = (*_FIELDS, "parameters", *TemplateKeys.model_fields, *RunOptions.model_fields)


def parse_document(document: Mapping[str, Any]) -> StrategyDocument:
    """Sort a document's keys; raise ConfigError that names the key where one is missing, unknown or wrong."""
    if not isinstance(document, Mapping):
        raise ConfigError(f"a strategy is a dict, got {document!r}")
    for key in document:
        if key not in _KNOWN:
            raise ConfigError(f"{unknown('key', str(key), _KNOWN)}; a workflow has steps")
    declared, values = _parameters(document.get("parameters", {}))
    _check_complete(document, bool(declared) or any(key in document for key in TemplateKeys.model_fields))
    found = {key: document[key] for key in _FIELDS if key in document}
    found.setdefault("strategy_id", _slug(str(document["name"])))
    try:
        template = TemplateKeys(**{key: document[key] for key in TemplateKeys.model_fields if key in document})
        run = RunOptions(**{key: document[key] for key in RunOptions.model_fields if key in document})
    except ValidationError as error:
        raise ConfigError(problems(error)) from error
    check_names(template.required_data)
    if template.workflow is not None:
        steps_from_list(template.workflow)
    return StrategyDocument(found, template, run, declared, values)


def _parameters(given: Any) -> tuple[dict[str, ParameterSpec], dict[str, Any]]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"parameters must be a dict, got {given!r}")
    declared = {str(name): _spec(name, value) for name, value in given.items() if is_spec(value)}
    return declared, {str(name): value for name, value in given.items() if not is_spec(value)}


def _spec(name: object, value: Mapping[str, Any]) -> ParameterSpec:
    for key in value:
        if key not in ParameterSpec.model_fields:
            raise ConfigError(f"Parameter {name!r}: {unknown('key', str(key), ParameterSpec.model_fields)}")
    try:
        return ParameterSpec.model_validate(value)
    except ValidationError as error:
        raise ConfigError(f"Parameter {name!r}: {problems(error)}") from error


def _check_complete(document: Mapping[str, Any], is_template: bool) -> None:
    needed = ("name",) if is_template else ("strategy_id", "name", "symbols")
    if missing := [key for key in needed if key not in document]:
        what = "strategy template" if is_template else "strategy"
        raise ConfigError(f"a {what} needs {', '.join(missing)}; a workflow needs steps")


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "strategy"
