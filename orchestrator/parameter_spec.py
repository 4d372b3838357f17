"""Parameters as strategy templates declare them: type, default and range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from streams.errors import ConfigError

_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "list": (list, tuple),
}


class ParameterSpec(BaseModel):
    """A declared parameter."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    type: Literal["int", "float", "str", "bool", "list"]
    """What its values are; a float may be written as an int."""
    default: Any = None
    """Its value where none is given; a parameter without one must be given."""
    min: float | None = None
    """Smallest value, included."""
    max: float | None = None
    """Largest value, included."""
    choices: tuple[Any, ...] | None = Field(default=None, min_length=1)
    """The values there are; of a list, those of its items."""
    description: str = ""
    """What it does."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.type not in ("int", "float") and (self.min is not None or self.max is not None):
            raise ValueError(f"min and max are for int and float, not for {self.type}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} lies above max {self.max:g}")
        if "default" in self.model_fields_set and not self.allows(self.default):
            raise ValueError(f"default {self.default!r} is not {self.expected}")
        return self

    @property
    def expected(self) -> str:
        """Say which values it takes."""
        if self.choices is not None:
            listed = ", ".join(map(repr, self.choices))
            return f"a list of some of ({listed})" if self.type == "list" else f"one of ({listed})"
        article = "an" if self.type == "int" else "a"
        low = None if self.min is None else f"{self.min:g}"
        high = None if self.max is None else f"{self.max:g}"
        if low and high:
            return f"{article} {self.type} from {low} to {high}"
        bound = f" of at least {low}" if low else f" of at most {high}" if high else ""
        return f"{article} {self.type}{bound}"

    def allows(self, value: Any) -> bool:
        """Return whether a value has the type and lies in the range."""
        if not _has_type(value, self.type):
            return False
        if self.choices is not None:
            return all(each in self.choices for each in (value if self.type == "list" else [value]))
        if self.type not in ("int", "float"):
            return True
        low = -math.inf if self.min is None else self.min
        high = math.inf if self.max is None else self.max
        return math.isfinite(value) and low <= value <= high

    def read(self, name: str, value: Any) -> Any:
        """Return a value that was given; raise ConfigError that names the parameter, the value and the range."""
        if not self.allows(value):
            raise ConfigError(f"Parameter {name!r} = {value!r}: expected {self.expected}")
        return float(value) if self.type == "float" else value


def _has_type(value: Any, kind: str) -> bool:
    # To Python a bool is an int; to whoever writes a parameter it is not.
    return isinstance(value, _TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))


def is_spec(value: Any) -> bool:
    """Return whether a parameter is written as a declaration, not as a value."""
    return isinstance(value, Mapping) and "type" in value
