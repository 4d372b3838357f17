"""Numbers and times as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from agents.metrics.series import Int64
from streams.record import rfc3339

DAY_S = 86_400


def percent(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """Return a share as per cent; a dash where it is undefined."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:{'+' if signed else ''},.{digits}%}"


def number(value: float | None, digits: int = 2) -> str:
    """Return a grouped number; a dash where it is undefined."""
    return "-" if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"


def units(value: float) -> str:
    """Return a quantity without needless decimals."""
    return f"{value:,.8g}" if abs(value) < 1e8 else f"{value:,.0f}"


def moment(ts: int, *, daily: bool = False) -> str:
    """Return a time in UTC to the second, or its day."""
    said = rfc3339(ts)[: 10 if daily else 19]
    return said.replace("T", " ")


def moments(times: Sequence[int] | Int64, *, daily: bool) -> list[str]:
    """Return times as plotly reads them: days, or milliseconds where there is more than one a day."""
    return [rfc3339(int(ts))[: 10 if daily else 23] for ts in times]


def span(seconds: float) -> str:
    """Return a length of time in its largest fitting unit."""
    for name, length in (("d", DAY_S), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:,.1f} {name}"
    return f"{seconds:,.0f} s"


def last_of(shown: int, total: int, what: str) -> str:
    """Say how many of what are shown."""
    return f"All {total:,} {what}." if shown == total else f"The last {shown:,} of {total:,} {what}."
