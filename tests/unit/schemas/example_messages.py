"""A valid example of any message, made from its fields' types."""

import hashlib
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from schemas import MESSAGES, Message
from schemas.message import AvroType

CARRIED = {"string": {"b": [1, "köy", None], "a": {"c": 0.5}}, "double": [1.0, 2.0], "int": [1, 2]}
CANDIDATES: dict[Any, tuple[Any, ...]] = {
    str: ("AAPL.XNAS", "USD", "2024-01-02", "0" * 64),
    int: (3, 0),
    float: (0.5,),
    bool: (True,),
    bytes: (b"weights",),
}


def example(model: type[Message], *, full: bool = True) -> Message:
    """Return a valid message; what may be null is set where full."""
    return model(**example_values(model, full=full))


def example_values(model: type[Message], *, full: bool = True) -> dict[str, Any]:
    """Return the fields of a valid message."""
    values = {name: _value(field, full) for name, field in model.model_fields.items()}
    if "limit_price" in values:
        values |= {"order_type": "LIMIT" if full else "MARKET", "stop_price": None}
    if "ratio" in values:
        values |= {"ratio": None, "amount": 0.5}
    if "weights" in values:
        values["sha256"] = hashlib.sha256(values["weights"]).hexdigest()
    return values


def models() -> list[type[Message]]:
    """Return every message and every message that stands within one."""
    found: dict[str, type[Message]] = {}
    waiting = list(MESSAGES.values())
    while waiting:
        model = waiting.pop()
        found[model.__name__] = model
        waiting += [
            m for f in model.model_fields.values() for m in _messages_in(f.annotation) if m.__name__ not in found
        ]
    return [found[name] for name in sorted(found)]


def _messages_in(annotation: Any) -> list[type[Message]]:
    if isinstance(annotation, type) and issubclass(annotation, Message):
        return [annotation]
    return [model for arg in get_args(annotation) for model in _messages_in(arg)]


def _value(field: FieldInfo, full: bool) -> Any:
    for mark in field.metadata:
        if isinstance(mark, AvroType):
            return CARRIED[mark.schema if isinstance(mark.schema, str) else mark.schema["items"]]  # type: ignore[index]
    return _of(field.annotation, field.metadata, full)


def _of(annotation: Any, metadata: list[Any], full: bool) -> Any:
    origin, args = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Message):
        return example(annotation, full=full)
    if origin is Literal:
        return args[0]
    if origin is tuple:
        return (_of(args[0], [], full),)
    if origin in (Union, types.UnionType):
        return _of(args[0], metadata, full) if full else None
    if origin is Annotated:
        return _of(args[0], list(args[1:]), full)
    return next(value for value in CANDIDATES[annotation] if _fits(value, annotation, metadata))


def _fits(value: Any, annotation: Any, metadata: list[Any]) -> bool:
    try:
        TypeAdapter(Annotated[(annotation, *metadata)] if metadata else annotation).validate_python(value)
    except ValidationError:
        return False
    return True
