"""Timestamps as users write them, read as int64 ns UTC."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from agents.data.calendars import Int64
from agents.data.frames import check
from agents.data.intervals import DAY_NS, SECOND_NS
from streams.errors import InvalidData

_EPOCH_UNITS = ((10**11, SECOND_NS), (10**14, 10**6), (10**17, 10**3), (2**63, 1))
"""Below which value an integer counts in units of how many ns: seconds, ms, us, ns."""
_EARLIEST_EPOCH = 10**8
"""Integers below are refused: 20120103 is a date, not a second in 1970."""
_LAST_SECOND = 2**63 // SECOND_NS - 1


class Stamps(NamedTuple):
    """Timestamps in two readings, each int64 of shape (n,)."""

    ns: Int64
    """Ns UTC; a time without a zone is UTC."""
    days: Int64
    """The date as written, in the stamp's own zone: days since 1970-01-01."""


def read_stamps(column: pd.Series, source: str) -> Stamps:
    """Read datetimes, ISO 8601 strings, dates, or integers since 1970 in s, ms, us or ns (told by their size).

    InvalidData names the first row that is none of these or lies outside 1970 to 2262.
    """
    if pd.api.types.is_bool_dtype(column.dtype):
        raise InvalidData(f"{source}: column {column.name} holds booleans, expected timestamps")
    if pd.api.types.is_numeric_dtype(column.dtype):
        return _epochs(column, source)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return Stamps(_ns(column.dt.tz_convert("UTC").dt.tz_localize(None), column, source), _wall_days(column))
    if pd.api.types.is_datetime64_dtype(column.dtype):
        return Stamps(_ns(column, column, source), _wall_days(column))
    return _texts(column, source)


def _epochs(column: pd.Series, source: str) -> Stamps:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    check(np.isfinite(values) & (values == np.floor(values)), column, source, "expected whole units since 1970")
    check(values >= _EARLIEST_EPOCH, column, source, "expected an ISO date or a time since 1970 that is after 1973")
    inexact = column.dtype.kind == "f" and (values >= 2**53).any()
    if inexact:
        raise InvalidData(f"{source}: column {column.name} holds floats beyond 2**53, expected integers")
    whole = column.to_numpy(dtype=np.int64)
    unit_ns = next(unit for limit, unit in _EPOCH_UNITS if int(whole.max()) < limit)
    check(whole <= (2**63 - 1) // unit_ns, column, source, "expected a time before 2262")
    ns = whole * unit_ns
    return Stamps(ns, ns // DAY_NS)


def _texts(column: pd.Series, source: str) -> Stamps:
    text = column.astype(str)
    parsed = pd.to_datetime(text, utc=True, format="ISO8601", errors="coerce").dt.tz_localize(None)
    ns = _ns(parsed, column, source)
    return Stamps(ns, _wall_days(pd.to_datetime(text.str.slice(0, 10), format="ISO8601")))


def _ns(naive: pd.Series, column: pd.Series, source: str) -> Int64:
    check(naive.notna().to_numpy(), column, source, "expected an ISO 8601 time")
    values = naive.to_numpy()
    seconds = values.astype("datetime64[s]").astype(np.int64)
    check((seconds >= 0) & (seconds < _LAST_SECOND), column, source, "expected a time from 1970 to 2262")
    return values.astype("datetime64[ns]").astype(np.int64)


def _wall_days(column: pd.Series) -> Int64:
    naive = column.dt.tz_localize(None) if column.dt.tz is not None else column
    return naive.to_numpy().astype("datetime64[D]").astype(np.int64)
