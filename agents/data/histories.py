"""Bars of a user's table, checked, adjusted and put on the calendar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from agents.data.bars import BarTable, Heading
from agents.data.calendars import Int64, enclosing_sessions, session_times
from agents.data.frames import Float64, check, numbers, pick, prices
from agents.data.intervals import DAY_NS, SECOND_NS, interval_name, interval_ns
from agents.data.reference import Reference, References, reference_of, unknown_symbol
from agents.data.timestamps import Stamps, read_stamps
from schemas.market import Adjustment, Instrument
from streams.errors import ConfigError, InvalidData

_TIME_COLUMNS = ("timestamp", "date", "datetime", "time")
_NEARLY_A_DAY_NS = 20 * 3_600 * SECOND_NS
_LONGEST_CLOSURE_DAYS = 5


@dataclass(frozen=True)
class History:
    """All bars that a table has of one instrument."""

    instrument: Instrument
    heading: Heading
    table: BarTable


@dataclass(frozen=True)
class _Columns:
    """The whole table, all symbols, each column of shape (n,)."""

    source: str
    stamps: Stamps
    values: dict[str, Float64]
    adjustment: Adjustment


def read_histories(
    frame: pd.DataFrame, *, source: str, symbol: str | None, references: References, synthetic: bool
) -> dict[str, History]:
    """Return a history for each symbol of a table with plain names, or for the one asked for.

    InvalidData names the row that is wrong, UnknownSymbol a symbol without rows.
    """
    symbols = _symbols(frame, source, symbol)
    columns = _read(frame, source)
    return {
        name: _history(name, columns, np.flatnonzero(symbols == name), reference_of(references, name), synthetic)
        for name in (dict.fromkeys(symbols) if symbol is None else [symbol])
    }


def detect_interval(stamps: Stamps, source: str) -> str:
    """Return the interval of ascending rows: their smallest distance, or 1d where each row has a day of its own."""
    if len(stamps.ns) == 1:
        if stamps.ns[0] % DAY_NS == 0:
            return "1d"
        raise InvalidData(f"{source} has a single bar, which does not tell its interval: set Reference.interval")
    step = int(np.diff(stamps.ns).min())
    if step < _NEARLY_A_DAY_NS:
        return interval_name(step)
    days = int(np.diff(stamps.days).min())
    if not 1 <= days <= _LONGEST_CLOSURE_DAYS:
        raise InvalidData(f"{source}: rows lie at least {days} days apart, expected daily or intraday bars")
    return "1d"


def _history(symbol: str, columns: _Columns, rows: Int64, reference: Reference, synthetic: bool) -> History:
    source = f"{columns.source}: {symbol}"
    stamps = Stamps(columns.stamps.ns[rows], columns.stamps.days[rows])
    _check_order(stamps.ns, rows, source)
    interval = interval_name(interval_ns(reference.interval or detect_interval(stamps, source)))
    instrument = reference.instrument(symbol)
    opened, closed, days = _times(stamps, interval, instrument.calendar, reference.stamp, source)
    values = {name: column[rows] for name, column in columns.values.items()}
    table = BarTable(
        opened, closed, days, values["open"], values["high"], values["low"], values["close"], values["volume"]
    )
    heading = Heading(instrument.instrument_id, interval, columns.adjustment, columns.source, synthetic)
    return History(instrument, heading, table)


def _symbols(frame: pd.DataFrame, source: str, symbol: str | None) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    if "symbol" not in frame.columns:
        if symbol is None:
            raise ConfigError(f"{source} has no symbol column: name the symbol, as in symbol='AAPL'")
        return np.full(len(frame), symbol, dtype=object)
    column = frame["symbol"]
    check(column.notna().to_numpy(), column, source, "expected a symbol")
    names = column.astype(str).to_numpy(dtype=object)
    if symbol is not None and symbol not in names:
        raise unknown_symbol(symbol, source, set(names))
    return names


def _read(frame: pd.DataFrame, source: str) -> _Columns:
    stamps = read_stamps(pick(frame, _TIME_COLUMNS, source), source)
    values = {name: prices(pick(frame, (name,), source), source) for name in ("open", "high", "low", "close")}
    volume = pick(frame, ("volume",), source)
    values["volume"] = numbers(volume, source)
    check(values["volume"] >= 0, volume, source, "expected a volume of 0 or more")
    lowest = np.minimum(values["open"], values["close"])
    check(values["low"] <= lowest, frame["low"], source, "which is above open or close")
    highest = np.maximum(values["open"], values["close"])
    check(values["high"] >= highest, frame["high"], source, "which is below open or close")
    if "adj_close" not in frame.columns:
        return _Columns(source, stamps, values, "raw")
    return _Columns(source, stamps, _adjusted(values, prices(frame["adj_close"], source)), "split_dividend")


def _adjusted(values: dict[str, Float64], adj_close: Float64) -> dict[str, Float64]:
    # one positive factor for the row: rounding is monotone, so low <= open, close <= high survives
    factor = adj_close / values["close"]
    return {name: column / factor if name == "volume" else column * factor for name, column in values.items()}


def _check_order(ns: Int64, rows: Int64, source: str) -> None:
    wrong = np.flatnonzero(np.diff(ns) <= 0)
    if wrong.size:
        at = int(wrong[0]) + 1
        what = "repeats" if ns[at] == ns[at - 1] else "is before"
        raise InvalidData(f"{source}: row {rows[at]} (from 0) {what} the time of row {rows[at - 1]}")


def _times(stamps: Stamps, interval: str, calendar: str, stamp: str, source: str) -> tuple[Int64, Int64, Int64]:
    try:
        if interval == "1d":
            return (*session_times(calendar, stamps.days), stamps.days)
        length = interval_ns(interval)
        start = stamps.ns if stamp == "open" else stamps.ns - length
        session = enclosing_sessions(calendar, start, start + length)
    except InvalidData as error:
        raise InvalidData(f"{source}: {error}") from error
    if (np.diff(stamps.ns) < length).any():
        raise InvalidData(f"{source}: rows lie closer together than {interval}")
    return np.maximum(start, session.opens), np.minimum(start + length, session.closes), session.days
