"""Words of error messages: the nearest known name, and what a validation refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import ValidationError

_SHOWN = 80


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Say that a name is unknown, which known one is nearest, and what there is."""
    names = sorted(known)
    nearest = get_close_matches(name, names, n=1, cutoff=0.0)
    hint = f", nearest is {nearest[0]!r}" if nearest else ""
    return f"unknown {what} {name!r}{hint}; expected one of ({', '.join(names)})"


def problems(error: ValidationError) -> str:
    """List what a validation refused: path, rule and value."""
    return "; ".join(
        f"{'.'.join(map(str, each['loc'])) or 'value'}: {each['msg'].removeprefix('Value error, ')}, "
        f"got {_short(each['input'])}"
        for each in error.errors(include_url=False, include_context=False)
    )


def redacted(text: str) -> str:
    """Return a text without the user and password of the URLs in it."""
    return re.sub(r"(?i)(password=)[^&\s'\"]+", r"\1***", re.sub(r"://\S*@", "://***@", text))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
