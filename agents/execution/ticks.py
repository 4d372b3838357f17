"""Match working orders on ticks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.execution.book import Book, TickWindow, Working, by_submission, expire, take_rows
from agents.execution.lifecycle import Report
from agents.execution.trade import Match, fill
from agents.transaction_cost.model import CostModel, range_volatility
from schemas.market import TickBlock
from streams.ids import row_id

WINDOW_ROWS = 1000
"""Ticks whose range and volume stand for volatility and volume in market impact."""


def match_ticks(book: Book, block: TickBlock, cost: CostModel, session_date: str = "") -> list[Report]:
    """Fill orders on a block of trades; the last block once more gives nothing.

    An order takes part in rows later than its ts_event. MARKET fills whole at the next tick, LIMIT whole at the first
    tick at or within its limit, each worsened by the cost model but never beyond the limit: a print's size says nothing
    about what else was on offer, so size counts through market impact alone. The first tick at or through a stop
    triggers it; it is a MARKET or LIMIT order for the ticks after that one. Impact takes volume and volatility
    (Parkinson range) of the last complete window of 1000 ticks, counted from the book's first tick whatever the blocks;
    before there is one it is 0, since a single print has neither.
    A DAY order expires on the first block of a later session, as of the last row before; blocks do not carry their
    session, so without session_date (ISO, one session per block) it works until it is filled or canceled.
    Raises InvalidData for another instrument, an overlap with rows already seen, or where time goes backwards.
    """
    before, first = book.last_ts, (block.base_ts + int(block.dt_ns[0]), block.seq0)
    if not take_rows(book, block.instrument_id, "tick", first, (block.ts_event, block.seq0 + len(block) - 1)):
        return []
    reports = expire(book, before, lambda session: session < session_date) if session_date else []
    start = 0
    while start < len(block):
        stop = min(len(block), start + WINDOW_ROWS - book.ticks.rows)
        if book.working:
            reports += _trade(book, block, cost, start, stop, session_date)
        _roll(book.ticks, block, start, stop)
        start = stop
    return reports


def _trade(book: Book, block: TickBlock, cost: CostModel, start: int, stop: int, session_date: str) -> list[Report]:
    times, matches = block.times(), []
    for working in by_submission(book):
        eligible = max(start, int(np.searchsorted(times, working.order.ts_event, side="right")))
        if eligible >= stop:
            continue
        working.session = working.session or session_date
        row = _row(working, block.price[:stop], eligible)
        if row is not None:
            matches.append(_match(book, block, working, row, times))
    return [fill(book, match, cost) for match in sorted(matches, key=lambda match: (match.ts, match.working.number))]


def _row(working: Working, prices: NDArray[np.float64], start: int) -> int | None:
    """Return the first row from start on that fills an order, or None; a stop that a row reaches is triggered."""
    buys, stop, limit = working.order.side == "BUY", working.order.stop_price, working.order.limit_price
    if stop is not None and not working.triggered:
        trigger = _first(prices[start:], stop, above=buys)
        if trigger is None:
            return None
        working.triggered, start = True, start + trigger + 1
    row = 0 if limit is None else _first(prices[start:], limit, above=not buys)
    return start + row if row is not None and start + row < len(prices) else None


def _first(prices: NDArray[np.float64], level: float, *, above: bool) -> int | None:
    hits = np.flatnonzero(prices >= level if above else prices <= level)
    return int(hits[0]) if hits.size else None


def _match(book: Book, block: TickBlock, working: Working, row: int, times: NDArray[np.int64]) -> Match:
    ts = int(times[row])
    return Match(
        working=working,
        quantity=working.leaves,
        price=float(block.price[row]),
        ts=ts,
        data_id=row_id(block.source, block.instrument_id, "tick", ts, block.seq0 + row),
        synthetic=block.synthetic,
        volume=book.ticks.last_volume or None,
        volatility=book.ticks.last_volatility,
    )


def _roll(window: TickWindow, block: TickBlock, start: int, stop: int) -> None:
    """Take rows into the window, the volume one by one so that cutting blocks differently gives the same bits."""
    prices, sizes = block.price[start:stop], block.size[start:stop]
    window.volume = float(np.add.accumulate(np.concatenate(([window.volume], sizes)))[-1])
    window.high = max(window.high, float(prices.max()))
    window.low = min(window.low or float("inf"), float(prices.min()))
    window.rows += stop - start
    if window.rows < WINDOW_ROWS:
        return
    if window.volume > 0:
        window.last_volume, window.last_volatility = window.volume, range_volatility(window.high, window.low)
    window.rows, window.volume, window.high, window.low = 0, 0.0, 0.0, 0.0
