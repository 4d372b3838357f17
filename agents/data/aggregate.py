"""Ticks to time bars, one state per instrument."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from agents.data.calendars import ALWAYS, iso_date, nearest_sessions
from agents.data.frames import Float64
from agents.data.intervals import DAY_NS, interval_name, interval_ns
from agents.data.ticks import TickTable, unpack_ticks
from schemas.market import Bar, TickBlock
from streams.errors import ConfigError, InvalidData
from streams.state import State


class Aggregation(State):
    """The open window of one instrument."""

    instrument_id: str = ""
    source: str = ""
    synthetic: bool = False
    start: int = -1
    """Start of the open window, ns UTC; -1 where none is open."""
    open: float = 0.0
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    volume: float = 0.0
    until: int = 0
    """No row before this time is taken any more, ns UTC."""


def aggregate(state: Aggregation, block: TickBlock, interval: str, calendar: str = ALWAYS) -> list[Bar]:
    """Add a block's rows to the state and return the bars whose windows ended.

    A window is [start, start + interval), start a multiple of the interval since 1970 UTC; its bar comes with the
    first row at or beyond its end. A window without rows gives no bar. How rows are cut into blocks changes nothing.
    InvalidData where time goes backwards or the instrument or source changes.
    """
    length = _length(interval, calendar)
    ticks = unpack_ticks(block)
    _admit(state, ticks)
    window = ticks.times // length
    edges = [0, *(np.flatnonzero(np.diff(window)) + 1).tolist(), len(ticks)]
    bars: list[Bar] = []
    for begin, end in pairwise(edges):
        start = int(window[begin]) * length
        if start != state.start:
            bars += _close(state, interval, calendar)
            _open(state, start, float(ticks.price[begin]))
        _add(state, ticks.price[begin:end], ticks.size[begin:end])
    state.until = int(ticks.times[-1])
    return bars


def flush(state: Aggregation, interval: str, calendar: str = ALWAYS) -> list[Bar]:
    """Return the bar of the open window, if any, as it stands; its later rows are refused."""
    if state.start >= 0:
        state.until = state.start + _length(interval, calendar)
    return _close(state, interval, calendar)


def _length(interval: str, calendar: str) -> int:
    length = interval_ns(interval)
    if calendar != ALWAYS and length >= DAY_NS:
        raise ConfigError(f"Windows of {interval} are UTC days, not sessions of {calendar}: ask for less than 1d")
    return length


def _admit(state: Aggregation, ticks: TickTable) -> None:
    given = (ticks.instrument_id, ticks.source, ticks.synthetic)
    known = (state.instrument_id, state.source, state.synthetic)
    if not state.instrument_id:
        state.instrument_id, state.source, state.synthetic = given
    elif given != known:
        raise InvalidData(f"Ticks of {given} among those of {known}")
    if ticks.times[0] < state.until:
        raise InvalidData(f"{ticks.instrument_id}: a tick at {ticks.times[0]} ns comes after {state.until} ns")


def _open(state: Aggregation, start: int, price: float) -> None:
    state.start = start
    state.open = state.high = state.low = state.close = price
    state.volume = 0.0


def _add(state: Aggregation, price: Float64, size: Float64) -> None:
    state.high = max(state.high, float(price.max()))
    state.low = min(state.low, float(price.min()))
    state.close = float(price[-1])
    # accumulate adds from left to right, as sum does not, so that the cut into blocks leaves no rounding behind
    state.volume = float(np.add.accumulate(np.concatenate(([state.volume], size)))[-1])


def _close(state: Aggregation, interval: str, calendar: str) -> list[Bar]:
    if state.start < 0:
        return []
    start, state.start = state.start, -1
    length = interval_ns(interval)
    day = nearest_sessions(calendar, np.array([start], dtype=np.int64))[0]
    bar = Bar(
        instrument_id=state.instrument_id,
        interval=interval_name(length),
        ts_open=start,
        ts_event=start + length,
        session_date=iso_date(day),
        open=state.open,
        high=state.high,
        low=state.low,
        close=state.close,
        volume=state.volume,
        adjustment="raw",
        source=f"ticks:{state.source}",
        synthetic=state.synthetic,
    )
    return [bar]
