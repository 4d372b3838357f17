"""Corporate actions at the paper venue."""

from __future__ import annotations

from agents.execution.book import ACTION, Book, TickWindow, Working, expire, take_rows
from agents.execution.lifecycle import Report
from schemas.corporate_actions import CorporateAction
from streams.errors import InvalidData


def act(book: Book, action: CorporateAction) -> list[Report]:
    """Adjust the book to a corporate action; the last one once more changes nothing.

    DAY orders of earlier sessions expire first. A split multiplies what is open and filled of every other order by its
    ratio and divides limit and stop by it, without rounding; a dividend leaves orders as they are.
    Raises InvalidData for another instrument, where time goes backwards, or where bars are adjusted.
    """
    if book.adjusted:
        raise InvalidData(f"{action.instrument_id} has adjusted bars: a {action.kind} would count twice")
    before, place = book.last_ts, (action.ts_event, action.sequence)
    if not take_rows(book, action.instrument_id, ACTION, place, place):
        return []
    reports = expire(book, before, lambda session: session < action.ex_date)
    if action.ratio is not None:
        for working in book.working.values():
            _split_order(working, action.ratio)
        _split_market(book, action.ratio)
    return reports


def _split_order(working: Working, ratio: float) -> None:
    order = working.order
    prices = {name: getattr(order, name) for name in ("limit_price", "stop_price", "reference_price")}
    changed = {name: price / ratio for name, price in prices.items() if price is not None}
    working.order = order.model_copy(update={"quantity": order.quantity * ratio, **changed})
    working.leaves *= ratio
    working.cumulative *= ratio


def _split_market(book: Book, ratio: float) -> None:
    book.last_bar = None
    book.closes = {interval: [close / ratio for close in closes] for interval, closes in book.closes.items()}
    ticks = book.ticks
    book.ticks = TickWindow(
        rows=ticks.rows,
        volume=ticks.volume * ratio,
        high=ticks.high / ratio,
        low=ticks.low / ratio,
        last_volume=ticks.last_volume * ratio,
        last_volatility=ticks.last_volatility,
    )
