"""Trading calendars: when the sessions of a market open and close, in ns UTC."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.data.intervals import DAY_NS
from streams.errors import ConfigError, InvalidData

Int64 = NDArray[np.int64]
Dates = Sequence[dt.date] | NDArray[np.datetime64] | Int64
"""Session dates; integers are days since 1970-01-01."""
ALWAYS = "24/7"
"""The calendar of markets that never close: a session is a UTC day."""
FIRST_SESSION = "1970-01-01"
"""Asked for by name, because exchange_calendars starts only 20 years back by default."""


class Sessions(NamedTuple):
    """All sessions of a calendar, each column int64 of shape (n,), ascending."""

    days: Int64
    """Days since 1970-01-01."""
    opens: Int64
    """Ns UTC."""
    closes: Int64
    """Ns UTC."""


def session_times(calendar: str, dates: Dates) -> tuple[Int64, Int64]:
    """Return the open and the close of each session, int64 ns UTC, shape (n,).

    InvalidData where a date is not a session, ConfigError where the calendar is unknown.
    """
    days = _days(dates)
    if calendar == ALWAYS:
        return days * DAY_NS, (days + 1) * DAY_NS
    table = _load(calendar)
    at = np.minimum(np.searchsorted(table.days, days), len(table.days) - 1)
    wrong = np.flatnonzero(table.days[at] != days)
    if wrong.size:
        raise InvalidData(f"{iso_date(days[wrong[0]])} is not a session of {calendar} ({_bounds(table)})")
    return table.opens[at], table.closes[at]


def enclosing_sessions(calendar: str, starts: Int64, ends: Int64) -> Sessions:
    """Return for each interval the session that it overlaps; a 24/7 interval belongs to the UTC day it starts in.

    InvalidData where an interval lies outside all sessions.
    """
    if calendar == ALWAYS:
        days = starts // DAY_NS
        return Sessions(days, starts, ends)
    table = _load(calendar)
    at = np.minimum(np.searchsorted(table.closes, starts, side="right"), len(table.days) - 1)
    outside = np.flatnonzero((table.opens[at] >= ends) | (table.closes[at] <= starts))
    if outside.size:
        when = np.datetime64(int(starts[outside[0]]), "ns")
        raise InvalidData(f"{when} UTC lies outside the sessions of {calendar}; calendar '24/7' takes all hours")
    return Sessions(table.days[at], table.opens[at], table.closes[at])


def nearest_sessions(calendar: str, times: Int64) -> Int64:
    """Return for each time the day of the session nearest to it, so that trades before and after hours have one."""
    if calendar == ALWAYS:
        return times // DAY_NS
    table = _load(calendar)
    after = np.minimum(np.searchsorted(table.closes, times), len(table.days) - 1)
    before = np.maximum(after - 1, 0)
    return table.days[np.where(table.opens[after] - times <= times - table.closes[before], after, before)]


def has_sessions(calendar: str, first: int, last: int) -> bool:
    """Tell whether a session lies in first..last, both days since 1970-01-01 and included."""
    if first > last:
        return False
    if calendar == ALWAYS:
        return True
    days = _load(calendar).days
    return last > int(days[-1]) or bool(np.searchsorted(days, first) < np.searchsorted(days, last, side="right"))


def is_calendar(name: str) -> bool:
    """Tell whether a trading calendar has this name."""
    import exchange_calendars  # 0.1 s, which users of 24/7 markets need not pay

    return name == ALWAYS or name in exchange_calendars.get_calendar_names(include_aliases=True)


def iso_date(day: int | np.int64) -> str:
    """Write days since 1970-01-01 as an ISO date."""
    return str(np.datetime64(int(day), "D"))


def _days(dates: Dates) -> Int64:
    values = np.asarray(dates)
    if values.dtype.kind == "i":
        return values.astype(np.int64)
    return values.astype("datetime64[D]").astype(np.int64)


def _bounds(table: Sessions) -> str:
    return f"known from {iso_date(table.days[0])} to {iso_date(table.days[-1])}"


def _build(name: str) -> Any:
    import exchange_calendars

    try:
        return exchange_calendars.get_calendar(name, start=FIRST_SESSION)
    except ValueError:
        # some calendars are recorded only from a later date on
        earliest = exchange_calendars.get_calendar(name).bound_min()
        return exchange_calendars.get_calendar(name, start=earliest)


@cache
def _load(name: str) -> Sessions:
    if not is_calendar(name):
        raise ConfigError(f"Unknown calendar {name!r}, expected 24/7 or a name of exchange_calendars such as XNYS")
    with warnings.catch_warnings():
        # exchange_calendars 4.13 itself uses what pandas 3.1 deprecates
        warnings.simplefilter("ignore")
        calendar = _build(name)
    days = calendar.sessions.to_numpy().astype("datetime64[D]").astype(np.int64)
    return Sessions(days, np.asarray(calendar.opens_nanos), np.asarray(calendar.closes_nanos))
