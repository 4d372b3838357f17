"""Orders as they reach the paper venue: worked, rejected or withdrawn."""

from __future__ import annotations

from agents.execution.book import Book, Working, settle, terms_of
from schemas.fills import OrderAccepted, OrderCanceled, OrderRejected
from schemas.orders import CancelOrder, SubmitOrder


def submit(book: Book, order: SubmitOrder) -> OrderAccepted | OrderRejected | None:
    """Work an order, or reject one in another instrument or currency; return None for one that was seen before."""
    if order.order_id in book.working or order.order_id in book.ended:
        return None
    book.instrument_id, book.currency = book.instrument_id or order.instrument_id, book.currency or order.currency
    reason = _objection(book, order)
    if reason:
        book.ended.add(order.order_id)
        return OrderRejected(**terms_of(order), quantity=order.quantity, ts_event=order.ts_event, reason=reason)
    book.working[order.order_id] = Working(order=order, number=book.submitted, leaves=order.quantity)
    book.submitted += 1
    report = OrderAccepted(**terms_of(order), quantity=order.quantity, ts_event=order.ts_event)
    settle(book, book.working[order.order_id], report)
    return report


def cancel(book: Book, command: CancelOrder) -> OrderCanceled | None:
    """Withdraw what is open of an order; return None for one that is not working."""
    working = book.working.get(command.order_id)
    if working is None:
        return None
    terms, ts = terms_of(working.order), command.ts_event
    report = OrderCanceled(**terms, quantity=working.leaves, ts_event=ts, reason=command.reason)
    settle(book, working, report)
    return report


def _objection(book: Book, order: SubmitOrder) -> str:
    if order.instrument_id != book.instrument_id:
        return f"the book trades {book.instrument_id}, not {order.instrument_id}"
    if order.currency != book.currency:
        return f"{order.instrument_id} trades in {book.currency}, not {order.currency}"
    return ""
