"""A strategy's parameters, filled in from defaults and from what is given instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from orchestrator.run_options import RunOptions
from orchestrator.strategy_document import StrategyDocument
from orchestrator.wording import problems, unknown
from streams.errors import ConfigError

_LIFTED = frozenset({"symbols", "lookback_period", "rebalance_frequency"})
"""Fields of a strategy that may also be declared, or written, among its parameters."""
_FIELDS = _LIFTED | {"strategy_id"}
"""Fields of a strategy that may be overridden."""


def filled(document: StrategyDocument, overrides: Mapping[str, Any], known: set[str] | None) -> StrategyDocument:
    """Return a document whose values are complete.

    known: parameters that overrides may add beside those of the document; None: any.
    Raises ConfigError for an unknown override, a value out of its range, and a parameter without a value.
    """
    names = {*document.declared, *document.values}
    around = _FIELDS | {"limits"} | RunOptions.model_fields.keys()
    _check_known(overrides, names | around | (known or set()), any_key=known is None)
    beside = {key: value for key, value in overrides.items() if key in around and key not in names}
    values = _values(document, {key: value for key, value in overrides.items() if key not in beside})
    return _placed(replace(document, values=values), beside)


def _check_known(overrides: Mapping[str, Any], known: set[str], *, any_key: bool) -> None:
    for key in overrides:
        if not any_key and key not in known:
            raise ConfigError(f"{unknown('parameter', str(key), known)}, got {overrides[key]!r}")


def _values(document: StrategyDocument, overrides: Mapping[str, Any]) -> dict[str, Any]:
    values = {**document.values, **overrides}
    for name, spec in document.declared.items():
        if name in overrides:
            values[name] = spec.read(name, overrides[name])
        elif "default" in spec.model_fields_set:
            values[name] = spec.read(name, spec.default)
        else:
            raise ConfigError(f"Parameter {name!r} has no default: give {spec.expected}")
    return values


def _placed(document: StrategyDocument, beside: Mapping[str, Any]) -> StrategyDocument:
    """Move fields from among the parameters to where they belong, and the overrides of fields in."""
    lifted = {name: value for name, value in document.values.items() if name in _LIFTED}
    for name in lifted:
        if name in document.fields:
            raise ConfigError(f"{name} stands beside the parameters and among them; give it once")
    fields = {**document.fields, **lifted, **{key: beside[key] for key in beside if key in _FIELDS}}
    limits = {**document.template.limits, **_mapping("limits", beside.get("limits", {}))}
    return replace(
        document,
        fields=fields,
        values={name: value for name, value in document.values.items() if name not in lifted},
        template=document.template.model_copy(update={"limits": limits}),
        run=_run(document.run, {key: beside[key] for key in beside if key in RunOptions.model_fields}),
    )


def _run(run: RunOptions, changes: Mapping[str, Any]) -> RunOptions:
    try:
        return RunOptions.model_validate({**run.model_dump(), **changes})
    except ValidationError as error:
        raise ConfigError(problems(error)) from error


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} must be a dict, got {value!r}")
    return value
