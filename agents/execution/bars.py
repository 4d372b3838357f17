"""Match working orders on bars."""

from __future__ import annotations

import math
from typing import Literal

from agents.execution.book import Book, Working, by_submission, expire, take_rows
from agents.execution.lifecycle import Report
from agents.execution.trade import Match, fill, reaches
from agents.orders import is_dust
from agents.transaction_cost.model import WINDOW, CostModel, interval_volatility, range_volatility
from schemas.market import Bar
from schemas.orders import SubmitOrder
from streams.ids import row_id

FillAt = Literal["next_open", "next_close"]
"""The price that a MARKET order gets of the first bar that opens at or after its decision."""


def match_bar(book: Book, bar: Bar, cost: CostModel, fill_at: FillAt = "next_open") -> list[Report]:
    """Fill and expire orders on a bar; the last bar once more gives nothing.

    An order takes part where bar.ts_open >= its ts_event. MARKET and a LIMIT that the open already reaches trade at the
    open, ts_open (with next_close: at the close, ts_event), worsened by the cost model but never beyond the limit;
    a LIMIT that only high or low reaches trades at the limit, ts_event, without spread or impact. All orders together
    trade at most max_participation x volume, in order of submission, so a bar without volume fills nothing; an order
    of whole units trades whole units, another any share. A DAY order expires with the session in which it could first
    fill: at the end of a bar of a day or longer, else on the first bar of a later session, as of the last row before.
    Raises InvalidData for another instrument or where time goes backwards.
    """
    before, place = book.last_ts, (bar.ts_event, bar.sequence)
    if not take_rows(book, bar.instrument_id, bar.interval, place, place):
        return []
    reports = expire(book, before, lambda session: session < bar.session_date)
    eligible = [working for working in by_submission(book) if bar.ts_open >= working.order.ts_event]
    for working in eligible:
        working.session = working.session or bar.session_date
    reports += _trade(book, bar, eligible, cost, fill_at)
    if bar.interval[-1] in "dw":
        reports += expire(book, bar.ts_event, lambda session: session <= bar.session_date)
    book.closes[bar.interval] = [*book.closes.get(bar.interval, []), bar.close][-WINDOW:]
    return reports


def _trade(book: Book, bar: Bar, eligible: list[Working], cost: CostModel, fill_at: FillAt) -> list[Report]:
    room, matches = cost.max_participation * bar.volume, []
    for working in eligible:
        match = _match(book, bar, working, room, fill_at)
        if match:
            matches.append(match)
            room -= match.quantity
    return [fill(book, match, cost) for match in sorted(matches, key=lambda match: match.ts)]


def _match(book: Book, bar: Bar, working: Working, room: float, fill_at: FillAt) -> Match | None:
    at, quantity = _price(working.order, bar, fill_at), _quantity(working, room)
    if at is None or not quantity:
        return None
    price, ts = at
    return Match(
        working=working,
        quantity=quantity,
        price=price,
        ts=ts,
        data_id=row_id(bar.source, bar.instrument_id, bar.interval, bar.ts_event, bar.sequence),
        synthetic=bar.synthetic,
        volume=bar.volume,
        volatility=_volatility(book, bar),
    )


def _price(order: SubmitOrder, bar: Bar, fill_at: FillAt) -> tuple[float, int] | None:
    price, ts = (bar.open, bar.ts_open) if fill_at == "next_open" else (bar.close, bar.ts_event)
    if reaches(order, price):
        return price, ts
    if order.limit_price is not None and reaches(order, bar.low if order.side == "BUY" else bar.high):
        return order.limit_price, bar.ts_event
    return None


def _quantity(working: Working, room: float) -> float:
    quantity = min(working.leaves, room)
    if working.order.quantity.is_integer():
        return float(math.floor(quantity + 1e-9))
    return 0.0 if is_dust(quantity, quantity) else quantity


def _volatility(book: Book, bar: Bar) -> float:
    """Return the volatility of the last 20 closes before the bar; until there are so many, that of the bar's range."""
    closes = book.closes.get(bar.interval, [])
    return interval_volatility(closes) if len(closes) == WINDOW else range_volatility(bar.high, bar.low)
