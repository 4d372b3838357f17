"""Strategy templates: the built-in models as forms show them."""

from __future__ import annotations

import types
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types as at
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from agents.alpha.models import MODELS
from agents.parameters import ConstructionParameters, Parameters
from infra.server.models import ParameterView, TemplateView

_TYPES: dict[Any, Literal["int", "float", "str", "bool", "list"]] = {
    int: "int",
    float: "float",
    str: "str",
    bool: "bool",
    tuple: "list",
    list: "list",
}


def templates(symbols: list[str]) -> list[TemplateView]:
    """Return a template for each built-in model; symbols: what the data providers know."""
    return [
        TemplateView(
            name=name,
            title=name.replace("_", " ").capitalize(),
            description=_description(model.decide.__module__),
            strategy_type=name,
            needs_short=model.shorts,
            parameters={**_parameters(model.parameters), **_parameters(ConstructionParameters)},
            symbols=symbols,
        )
        for name, model in MODELS.items()
    ]


def _description(module: str) -> str:
    from importlib import import_module

    return (import_module(module).__doc__ or "").strip().splitlines()[0]


def _parameters(model: type[Parameters]) -> dict[str, ParameterView]:
    return {name: _parameter(field) for name, field in model.model_fields.items()}


def _parameter(field: FieldInfo) -> ParameterView:
    kind, choices = _kind(field.annotation)
    low, high, exclusive = _range(field)
    default = field.get_default(call_default_factory=True, validated_data={})
    return ParameterView(
        type=kind,
        default=None if default is PydanticUndefined else default,
        min=low,
        max=high,
        exclusive_min=exclusive,
        choices=choices,
        description=field.description or "",
    )


def _kind(annotation: Any) -> tuple[Literal["int", "float", "str", "bool", "list"], list[Any] | None]:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _kind(next(each for each in args if each is not type(None)))
    if origin is Literal:
        return "str", list(args)
    return _TYPES[origin or annotation], None


def _range(field: FieldInfo) -> tuple[float | None, float | None, bool]:
    low: float | None = None
    high: float | None = None
    exclusive = False
    for mark in field.metadata:
        if isinstance(mark, at.Ge | at.Gt):
            low, exclusive = float(getattr(mark, "ge", None) or getattr(mark, "gt", 0)), isinstance(mark, at.Gt)  # type: ignore[arg-type]
        elif isinstance(mark, at.Le | at.Lt):
            high = float(getattr(mark, "le", None) or getattr(mark, "lt", 0))  # type: ignore[arg-type]
    return low, high, exclusive
