"""The base of every message, and the value types their fields share."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from math import isfinite
from typing import Annotated, Any, Self, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic.fields import FieldInfo


class AvroType:
    """Mark a field's annotation with the Avro type that carries it."""

    def __init__(self, schema: object) -> None:
        self.schema = schema


MAX_DEPTH = 100
"""Nesting of free-form JSON at most: what is read with few calls on the stack must be written with many."""


def canonical_json(value: object) -> str:
    """Write JSON with sorted keys and no NaN, so that equal values give equal bytes."""
    return _ENCODER.encode(value)


def _json_object(value: object) -> object:
    if not isinstance(value, str):
        return _checked(value)
    if value.count("[") + value.count("{") > MAX_DEPTH or "\\u" in value:
        return _checked(_DECODER.decode(value))
    return _DECODER.decode(value)


def _checked(value: object) -> object:
    """Return a value that can be written again: no half of a surrogate pair, no nesting beyond MAX_DEPTH."""
    try:
        canonical_json(value).encode()
    except TypeError as error:
        raise ValueError(f"no JSON: {error}") from None
    except RecursionError:
        raise ValueError("no JSON: it is nested too deeply") from None
    if _depth(value, MAX_DEPTH) > MAX_DEPTH:
        raise ValueError(f"JSON is nested more than {MAX_DEPTH} deep")
    return value


def _depth(value: object, left: int) -> int:
    """Return how deep a value is nested, looking no deeper than left."""
    if not isinstance(value, dict | list | tuple) or left < 0:
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(each, left - 1) for each in inner), default=0)


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"Out of range float values are not JSON compliant: {text}")
    return number


# Made once: json.dumps and json.loads make new ones for each call that is not all defaults.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


Id = Annotated[str, Field(min_length=1, max_length=256)]
"""A non-empty identifier."""
InstrumentId = Annotated[str, Field(min_length=3, max_length=64, pattern=r"^[^\s.][^\s]*\.[A-Z0-9]+$")]
"""SYMBOL.VENUE, for example AAPL.XNAS."""
Nanoseconds = Annotated[int, Field(ge=0, lt=2**63)]
"""A time in integer nanoseconds since 1970-01-01 UTC."""
Money = Annotated[float, Field(allow_inf_nan=False)]
"""An amount in the account's currency."""
Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A non-negative amount in the account's currency."""
Price = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A price per unit in the instrument's currency."""
Quantity = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A positive number of units (shares, contracts, coins)."""
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3,5}$")]
"""An ISO 4217 code, or an exchange's code for a crypto-currency."""
JsonObject = Annotated[
    dict[str, Any],
    BeforeValidator(_json_object),
    PlainSerializer(canonical_json, when_used="unless-none"),
    AvroType("string"),
]
"""Free-form parameters; carried as one canonical JSON string."""


class Message(BaseModel):
    """A frozen, validated event or command.

    NaN, infinities, unknown fields and empty identifiers are refused with a ValidationError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    def to_avro(self) -> dict[str, Any]:
        """Return the record that the Avro writer takes."""
        values = self.__dict__
        return {name: write(values[name]) if write else values[name] for name, write in _writers(type(self))}

    @classmethod
    def from_avro(cls, record: dict[str, Any]) -> Self:
        """Build and validate a message from a decoded Avro record."""
        return cls.model_validate(record)


@cache
def _writers(model: type[Message]) -> tuple[tuple[str, Callable[[Any], Any] | None], ...]:
    """Return, per field, what makes its Avro value; None where that is the value itself."""
    return tuple((name, _writer(field)) for name, field in model.model_fields.items())


def _writer(field: FieldInfo) -> Callable[[Any], Any] | None:
    if any(isinstance(mark, AvroType) for mark in field.metadata):
        return canonical_json if field.annotation == dict[str, Any] else None
    return _nested if _holds_messages(field.annotation) else None


def _holds_messages(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, Message | tuple):
        return True
    return get_origin(annotation) is tuple or any(map(_holds_messages, get_args(annotation)))


def _nested(value: Any) -> Any:
    if isinstance(value, Message):
        return value.to_avro()
    if isinstance(value, tuple):
        return [_nested(item) for item in value]
    return value
