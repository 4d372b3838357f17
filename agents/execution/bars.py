"""Match working orders on bars."""

from __future__ import annotations

from agents.execution.book import ACTION, Book, LastBar, Working, by_submission, expire, take_rows
from agents.execution.lifecycle import Report
from agents.execution.prices import FillAt, Point, at_close, meeting
from agents.execution.trade import Match, fill
from agents.quantities import floor_to_lot, is_dust, is_whole_lots
from agents.transaction_cost.model import WINDOW, CostModel, interval_volatility, range_volatility
from schemas.market import Bar
from streams.errors import InvalidData
from streams.ids import row_id


def match_bar(book: Book, bar: Bar, cost: CostModel, fill_at: FillAt = "next_open") -> list[Report]:
    """Fill and expire orders on a bar; the last bar once more gives nothing.

    An order takes part where bar.ts_open >= its ts_event. MARKET and a LIMIT that the open already reaches trade at the
    open, ts_open (else than with next_open: at the close, ts_event), worsened by the cost model but never beyond the
    limit; a LIMIT that only high or low reaches trades at the limit, ts_event, without spread or impact.
    A stop that the open reaches trades from the open on, whatever fill_at. One that only high or low reaches trades at
    the stop, ts_event, worsened by the cost model; where the stop does not reach its limit, it trades at the limit, and
    only if the close reaches that. Triggered and not filled, it is a MARKET or LIMIT order from the next bar on.
    All orders together trade at most max_participation x volume, in order of submission, so a bar without volume fills
    nothing; an order of whole lots trades whole lots, another any share. A DAY order expires with the session in which
    it could first fill: at the end of a bar of a day or longer, else on the first bar of a later session, as of the
    last row before. Raises InvalidData for another instrument, where time goes backwards, or for an adjusted bar after
    a corporate action.
    """
    if bar.adjustment != "raw" and ACTION in book.rows:
        raise InvalidData(f"{bar.instrument_id} has corporate actions, which take raw bars: got {bar.adjustment}")
    before, place = book.last_ts, (bar.ts_event, bar.sequence)
    if not take_rows(book, bar.instrument_id, bar.interval, place, place):
        return []
    book.adjusted = book.adjusted or bar.adjustment != "raw"
    reports = expire(book, before, lambda session: session < bar.session_date)
    eligible = [working for working in by_submission(book) if bar.ts_open >= working.order.ts_event]
    for working in eligible:
        working.session = working.session or bar.session_date
    if eligible or fill_at == "same_close":
        last = LastBar(bar=bar, room=cost.max_participation * bar.volume, volatility=_volatility(book, bar))
        reports += _trade(book, last, eligible, cost, fill_at)
        book.last_bar = last if fill_at == "same_close" else None
    reports += _end_of_day(book, bar)
    book.closes[bar.interval] = [*book.closes.get(bar.interval, []), bar.close][-WINDOW:]
    return reports


def fill_same_close(book: Book, order_id: str, cost: CostModel) -> list[Report]:
    """Fill an order at the close of the bar that it was decided on, within what that bar's volume has left.

    A DAY order that this leaves open expires as if it had been there before the bar. Without such a bar, and for an
    order that the close does not reach, the order goes on to later bars.
    """
    last, working = book.last_bar, book.working.get(order_id)
    if last is None or working is None or last.bar.ts_event != working.order.ts_event:
        return []
    working.session = last.bar.session_date
    match = _match(last, working, at_close(working, last.bar))
    return [*([fill(book, match, cost)] if match else []), *_end_of_day(book, last.bar)]


def _trade(book: Book, last: LastBar, eligible: list[Working], cost: CostModel, fill_at: FillAt) -> list[Report]:
    points = ((working, meeting(working, last.bar, fill_at)) for working in eligible)
    matches = [match for working, at in points if (match := _match(last, working, at))]
    return [fill(book, match, cost) for match in sorted(matches, key=lambda match: match.ts)]


def _end_of_day(book: Book, bar: Bar) -> list[Report]:
    if bar.interval[-1] not in "dw":
        return []
    return expire(book, bar.ts_event, lambda session: session <= bar.session_date)


def _match(last: LastBar, working: Working, at: Point | None) -> Match | None:
    """Trade what the bar's volume has room for, and take it from the room."""
    bar, quantity = last.bar, _quantity(working, last.room)
    if at is None or not quantity:
        return None
    last.room -= quantity
    price, ts = at
    return Match(
        working=working,
        quantity=quantity,
        price=price,
        ts=ts,
        data_id=row_id(bar.source, bar.instrument_id, bar.interval, bar.ts_event, bar.sequence),
        synthetic=bar.synthetic,
        volume=bar.volume,
        volatility=last.volatility,
    )


def _quantity(working: Working, room: float) -> float:
    quantity, lot = min(working.leaves, room), working.order.lot_size
    if is_whole_lots(working.order.quantity, lot):
        return floor_to_lot(quantity, lot)
    return 0.0 if is_dust(quantity, quantity) else quantity


def _volatility(book: Book, bar: Bar) -> float:
    """Return the volatility of the last 20 closes before the bar; until there are so many, that of the bar's range."""
    closes = book.closes.get(bar.interval, [])
    return interval_volatility(closes) if len(closes) == WINDOW else range_volatility(bar.high, bar.low)
