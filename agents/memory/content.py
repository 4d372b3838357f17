"""What of a message is kept: its fields as JSON, columns and oversized parts left out; they stay on the log."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from schemas import Message
from schemas.market import Columns

MAX_BYTES = 8_000
"""Of one event as JSON."""
MAX_STATE_BYTES = 64_000
"""Of a run's definition or an account's positions as JSON."""
_SMALL = 200


def fields_of(message: Message, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Return a message's fields as JSON values, at most about max_bytes of them.

    Of a block: the number of rows instead of its columns. A part that is too large gives its size instead.
    """
    fields = {name: _plain(value) for name, value in message.__dict__.items() if not isinstance(value, np.ndarray)}
    if isinstance(message, Columns):
        fields["rows"] = len(message)  # type: ignore[arg-type]
    fitted = _fitted(fields, max_bytes)
    return fitted if isinstance(fitted, dict) else fields


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return {name: _plain(each) for name, each in value.__dict__.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return {"left_out_bytes": len(value)}
    return value


def _fitted(value: Any, budget: int) -> Any:
    size = len(json.dumps(value, ensure_ascii=False))
    if size <= budget:
        return value
    share = budget // 4
    if isinstance(value, dict) and len(value) * _SMALL <= budget:
        return {name: _fitted(each, share) for name, each in value.items()}
    if isinstance(value, list) and len(value) * _SMALL <= budget:
        return [_fitted(each, max(budget // len(value), _SMALL)) for each in value]
    return {"left_out_bytes": size}
