"""Parameters of a strategy: what the alpha model reads, what portfolio construction reads, and nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streams.errors import ConfigError


class Parameters(BaseModel):
    """Validated parameters of one part of a strategy."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
    aliases: ClassVar[dict[str, str]] = {}
    """Other names under which a parameter may be given."""


class ConstructionParameters(Parameters):
    """How portfolio construction turns opinions into sizes."""

    position_size: float | None = Field(default=None, gt=0, le=1)
    """Share of equity per position; unset: 1 / number of the run's instruments."""
    max_gross: float = Field(default=1.0, gt=0)
    """Largest sum of |target weight|; targets that would exceed it are scaled down together."""
    rebalance_band: float = Field(default=0.05, ge=0)
    """Drift of a weight, in shares of equity, up to which a held position is not resized; 0 resizes always."""


P = TypeVar("P", bound=Parameters)


def parse_model(model: type[P], raw: Mapping[str, Any]) -> P:
    """Return a model's own parameters from a strategy's dict; raise ConfigError for a key that nobody reads."""
    mine, shared = names(model), names(ConstructionParameters)
    for key in raw:
        if key not in mine | shared:
            raise ConfigError(f"Unknown parameter {key!r} = {raw[key]!r}, {_nearest(key, mine | shared)}")
    parse_construction(raw)
    return _build(model, {key: raw[key] for key in raw if key in mine})


def parse_construction(raw: Mapping[str, Any]) -> ConstructionParameters:
    """Return portfolio construction's parameters from a strategy's dict; the model's keys are left alone."""
    mine = names(ConstructionParameters)
    return _build(ConstructionParameters, {key: raw[key] for key in raw if key in mine})


def names(model: type[Parameters]) -> set[str]:
    """Return every key that a set of parameters is read from, aliases included."""
    return set(model.model_fields) | set(model.aliases)


def nearest(key: str, known: Iterable[str]) -> str:
    """Return the known key that looks most like a mistyped one."""
    return difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.0)[0]


def _nearest(key: str, known: set[str]) -> str:
    return f"did you mean {nearest(key, known)!r}? Expected one of {sorted(known)}"


def _build(model: type[P], raw: Mapping[str, Any]) -> P:
    values: dict[str, Any] = {}
    for key, value in raw.items():
        name = model.aliases.get(key, key)
        if name in values and values[name] != value:
            raise ConfigError(f"Parameter {key!r} = {value!r} and {name!r} = {values[name]!r} are one; give one value")
        values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(_complaint(item, model, raw) for item in error.errors())) from error


def _complaint(item: Any, model: type[Parameters], raw: Mapping[str, Any]) -> str:
    if not item["loc"]:
        return f"Parameters {dict(raw)!r}: {item['msg']}"
    given = next(key for key in raw if model.aliases.get(key, key) == item["loc"][0])
    return f"Parameter {given!r} = {item['input']!r}: {item['msg']}"
