"""Dates, times and lengths of time as users of `finagent feed` write them."""

from __future__ import annotations

import datetime as dt
import re

import pandas as pd

from agents.data.intervals import DAY_NS, interval_ns
from agents.data.timestamps import read_stamps
from streams.errors import ConfigError

_MS_NS = 1_000_000


def date_of(option: str, text: str) -> dt.date | None:
    """Return a date, None for an empty text; raise ConfigError that names the option."""
    try:
        return dt.date.fromisoformat(text) if text else None
    except ValueError as error:
        raise ConfigError(f"--{option} {text!r} is no ISO date such as 2012-01-03") from error


def start_ns(text: str) -> int | None:
    """Return an ISO date's or time's first instant, ns UTC; None for an empty text."""
    return _ns(text) if text else None


def end_ns(text: str) -> int | None:
    """Return the instant up to which rows count: a date is included, a time is not; None for an empty text."""
    if not text:
        return None
    return _ns(text) + (DAY_NS if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else 0)


def window_length(text: str) -> int:
    """Return the length of a window in ns: a whole number and ms, s, m, h or d."""
    match = re.fullmatch(r"([1-9]\d{0,5})ms", text)
    return int(match[1]) * _MS_NS if match else interval_ns(text)


def _ns(text: str) -> int:
    return int(read_stamps(pd.Series([text], name="time"), "options --start and --end").ns[0])
