"""Where a bar meets an order: at which price, and when."""

from __future__ import annotations

from typing import Literal

from agents.execution.book import Working
from agents.execution.trade import reaches, triggers
from schemas.market import Bar
from schemas.orders import SubmitOrder

FillAt = Literal["next_open", "next_close", "next_tick", "same_close"]
"""The price that a MARKET order gets.

next_open, next_close: of the first bar that opens at or after its decision; next_tick: of the first later trade, bars
fill nothing; same_close: of the bar that it was decided on. Trades fill at the next tick under every rule.
"""
Point = tuple[float, int]
"""Price and time, ns UTC."""


def meeting(working: Working, bar: Bar, fill_at: FillAt) -> Point | None:
    """Return where a bar fills an order, or None; a stop that the bar reaches is triggered either way."""
    if working.waits:
        return _stopped(working, bar)
    price, ts = (bar.open, bar.ts_open) if fill_at == "next_open" else (bar.close, bar.ts_event)
    return _from(working.order, bar, price, ts)


def at_close(working: Working, bar: Bar) -> Point | None:
    """Return where the close alone fills an order, or None; a stop that the close reaches is triggered either way."""
    working.triggered = working.triggered or (working.waits and triggers(working.order, bar.close))
    if working.waits or not reaches(working.order, bar.close):
        return None
    return bar.close, bar.ts_event


def _stopped(working: Working, bar: Bar) -> Point | None:
    order, stop = working.order, working.order.stop_price or 0.0
    if triggers(order, bar.open):
        working.triggered = True
        return _from(order, bar, bar.open, bar.ts_open)
    if not triggers(order, bar.high if order.side == "BUY" else bar.low):
        return None
    working.triggered = True
    if reaches(order, stop):
        return stop, bar.ts_event
    # Whether the other extreme came before or after the trigger is unknown: only the close surely came after.
    if order.limit_price is not None and reaches(order, bar.close):
        return order.limit_price, bar.ts_event
    return None


def _from(order: SubmitOrder, bar: Bar, price: float, ts: int) -> Point | None:
    """Return a price where it reaches the order, else the limit where the bar's range does."""
    if reaches(order, price):
        return price, ts
    if order.limit_price is not None and reaches(order, bar.low if order.side == "BUY" else bar.high):
        return order.limit_price, bar.ts_event
    return None
