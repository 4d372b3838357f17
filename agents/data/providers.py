"""Providers of bars, and the one that serves a frame."""

from __future__ import annotations

import datetime as dt
from typing import Protocol

import numpy as np
import pandas as pd

from agents.data.bars import BarTable, pack
from agents.data.calendars import has_sessions, iso_date
from agents.data.frames import with_plain_names
from agents.data.histories import History, read_histories
from agents.data.intervals import interval_name, interval_ns
from agents.data.reference import DEFAULT, References, unknown_symbol
from schemas.market import BarBlock, Instrument
from streams.errors import ConfigError, MissingData


class Provider(Protocol):
    """A source of bars that says what it has and whether it is real."""

    @property
    def name(self) -> str:
        """What the rows are labelled with as their source."""

    @property
    def synthetic(self) -> bool:
        """True where the rows were generated, not observed."""

    def instruments(self) -> dict[str, Instrument]:
        """Return the instruments by bare symbol."""

    def bars(self, symbol: str, interval: str, start: dt.date | None, end: dt.date | None) -> tuple[BarBlock, ...]:
        """Return the bars of the sessions from start to end, both included; None is the end of what there is.

        UnknownSymbol, MissingData where the range is not all there, ConfigError where end is before start.
        """


class FrameProvider:
    """Serve the bars of a frame, all of them checked on construction."""

    def __init__(
        self,
        frame: pd.DataFrame,
        *,
        name: str = "frame",
        symbol: str | None = None,
        reference: References = DEFAULT,
        synthetic: bool = False,
    ) -> None:
        """Check the frame; a symbol column wins over symbol, which then selects its rows.

        InvalidData names the row that is wrong, ConfigError the parameter, UnknownSymbol a symbol without rows.
        """
        self.name = name
        self.synthetic = synthetic
        self._histories = read_histories(
            with_plain_names(frame, name), source=name, symbol=symbol, references=reference, synthetic=synthetic
        )

    def instruments(self) -> dict[str, Instrument]:
        """Return the instruments by bare symbol."""
        return {symbol: history.instrument for symbol, history in self._histories.items()}

    def interval(self, symbol: str) -> str:
        """Return the length of a symbol's bars."""
        return self._history(symbol).heading.interval

    def bars(self, symbol: str, interval: str, start: dt.date | None, end: dt.date | None) -> tuple[BarBlock, ...]:
        """Return the bars of the sessions from start to end, both included, as consecutive blocks."""
        history = self._history(symbol)
        asked, held = interval_name(interval_ns(interval)), history.heading.interval
        if asked != held:
            raise MissingData(f"{self.name} has bars of {held} for {symbol}, not of {asked}")
        return pack(_select(history, start, end, f"{self.name}: {symbol}"), history.heading)

    def _history(self, symbol: str) -> History:
        if symbol not in self._histories:
            raise unknown_symbol(symbol, self.name, self._histories)
        return self._histories[symbol]


def _select(history: History, start: dt.date | None, end: dt.date | None, source: str) -> BarTable:
    if start is not None and end is not None and end < start:
        raise ConfigError(f"end {end} is before start {start}")
    days = history.table.day
    first, last = _day(start, int(days[0])), _day(end, int(days[-1]))
    calendar = history.instrument.calendar
    held = f"{source} has {iso_date(days[0])} to {iso_date(days[-1])}"
    if has_sessions(calendar, first, int(days[0]) - 1) or has_sessions(calendar, int(days[-1]) + 1, last):
        raise MissingData(f"{held}, not all of {iso_date(first)} to {iso_date(last)}")
    begin, stop = np.searchsorted(days, [first, last + 1]).tolist()
    if begin >= stop:
        raise MissingData(f"{held}, but no bars from {iso_date(first)} to {iso_date(last)}")
    return history.table[begin:stop]


def _day(date: dt.date | None, default: int) -> int:
    return default if date is None else int(np.datetime64(date, "D").astype(np.int64))
