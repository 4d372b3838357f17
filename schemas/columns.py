"""Numpy columns as message fields: read-only, one-dimensional, finite."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, PlainSerializer

from schemas.message import AvroType

Float64 = NDArray[np.float64]
Uint8 = NDArray[np.uint8]


def _doubles(value: Any) -> Float64:
    column = np.asarray(value, dtype=np.float64)
    if column.ndim != 1:
        raise ValueError(f"a column has one dimension, got {column.ndim}")
    if not np.isfinite(column).all():
        raise ValueError(f"row {int(np.flatnonzero(~np.isfinite(column))[0])} is NaN or infinite")
    return _frozen(column)


def _small_ints(value: Any) -> Uint8:
    column = np.asarray(value)
    if column.ndim != 1:
        raise ValueError(f"a column has one dimension, got {column.ndim}")
    if column.size and column.dtype.kind not in "iu":
        raise ValueError(f"small integers are whole numbers, got {column.dtype}")
    if column.size and (column.min() < 0 or column.max() > 63):
        raise ValueError("small integers lie in 0..63")
    return _frozen(column.astype(np.uint8))


def _frozen(column: NDArray[Any]) -> NDArray[Any]:
    if column.flags.writeable:
        column = column.view()
        column.flags.writeable = False
    return column


def _listed(column: NDArray[Any]) -> list[Any]:
    return list(column.tolist())


Doubles = Annotated[
    Float64,
    BeforeValidator(_doubles),
    PlainSerializer(_listed),
    AvroType({"type": "array", "items": "double"}),
]
"""A column of float64, shape (n,)."""
SmallInts = Annotated[
    Uint8,
    BeforeValidator(_small_ints),
    PlainSerializer(_listed),
    AvroType({"type": "array", "items": "int"}),
]
"""A column of integers 0..63, shape (n,): one byte each on the wire."""


def require(condition: NDArray[np.bool_], what: str) -> None:
    """Raise ValueError that names the first row where the condition fails."""
    if not condition.all():
        raise ValueError(f"row {int(np.flatnonzero(~condition)[0])}: {what}")
