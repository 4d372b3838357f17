"""The paper venue's book of one instrument: working orders and what was seen of the market."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agents.execution.lifecycle import Report, Status, ended, next_status
from agents.orders import RecentIds
from schemas.fills import OrderExpired
from schemas.market import Bar
from schemas.orders import SubmitOrder
from streams.errors import InvalidData
from streams.state import State


class Working(BaseModel):
    """An accepted order that has not ended."""

    model_config = ConfigDict(extra="forbid")
    order: SubmitOrder
    number: int
    """Place in the order of submission."""
    leaves: float
    """Units still open."""
    cumulative: float = 0.0
    fills: int = 0
    status: Status = "SUBMITTED"
    session: str = ""
    """The first session in which it could fill, ISO date; empty before."""
    triggered: bool = False
    """Whether the market reached the stop price; from then on it is a MARKET or LIMIT order."""

    @property
    def waits(self) -> bool:
        """Return whether it is a stop order that the market has not reached."""
        return self.order.stop_price is not None and not self.triggered


class TickWindow(BaseModel):
    """The running window of ticks, and what the last complete one with any volume showed."""

    model_config = ConfigDict(extra="forbid")
    rows: int = 0
    volume: float = 0.0
    high: float = 0.0
    low: float = 0.0
    last_volume: float = 0.0
    last_volatility: float = 0.0


class LastBar(BaseModel):
    """A bar, and what is left of it to trade."""

    model_config = ConfigDict(extra="forbid")
    bar: Bar
    room: float
    """Units that orders may still trade."""
    volatility: float
    """Of one interval, as market impact takes it."""


class Book(State):
    """One instrument at the paper venue."""

    instrument_id: str = ""
    currency: str = ""
    """Taken from the first order."""
    working: dict[str, Working] = Field(default_factory=dict)
    ended: RecentIds = Field(default_factory=RecentIds)
    submitted: int = 0
    last_ts: int = 0
    """Time of the last row, ns UTC."""
    rows: dict[str, tuple[int, int]] = Field(default_factory=dict)
    """(ts_event, sequence) of the last row, by interval or tick."""
    closes: dict[str, list[float]] = Field(default_factory=dict)
    """The last closes by interval, oldest first."""
    ticks: TickWindow = Field(default_factory=TickWindow)
    adjusted: bool = False
    """Whether bars came that were adjusted for corporate actions."""
    last_bar: LastBar | None = None
    """Where orders fill at the close they were decided on: the bar that closed last."""


ACTION = "action"
"""Kind of corporate actions among the rows of a book."""
Place = tuple[int, int]
"""(ts_event, sequence) of a row."""


def take_rows(book: Book, instrument_id: str, kind: str, first: Place, last: Place) -> bool:
    """Move the book past rows of an interval or of ticks; return False where the last of them was the last one seen.

    Raises InvalidData for another instrument, for rows seen before, or where time goes backwards.
    """
    book.instrument_id = book.instrument_id or instrument_id
    if instrument_id != book.instrument_id:
        raise InvalidData(f"The book of {book.instrument_id} got a row of {instrument_id}")
    seen = book.rows.get(kind, (0, -1))
    if last == seen:
        return False
    if first[0] < book.last_ts or first <= seen:
        raise InvalidData(f"{instrument_id} {kind} row {first} goes back behind {max(seen, (book.last_ts, -1))}")
    book.rows[kind], book.last_ts = last, last[0]
    return True


def by_submission(book: Book) -> list[Working]:
    """Return the working orders in the order of their submission."""
    return sorted(book.working.values(), key=lambda working: working.number)


def expire(book: Book, ts: int, over: Callable[[str], bool]) -> list[Report]:
    """Expire the DAY orders whose first session is over, at a time in ns UTC."""
    due = [working for working in by_submission(book) if _is_day(working) and over(working.session)]
    reports: list[Report] = []
    for working in due:
        report = OrderExpired(**terms_of(working.order), quantity=working.leaves, ts_event=ts)
        settle(book, working, report)
        reports.append(report)
    return reports


def settle(book: Book, working: Working, report: Report) -> None:
    """Move an order along its life cycle and forget it at its end."""
    working.status = next_status(working.status, report)
    if ended(working.status):
        del book.working[working.order.order_id]
        book.ended.add(working.order.order_id)


def _is_day(working: Working) -> bool:
    return working.order.time_in_force == "DAY" and bool(working.session)


def terms_of(order: SubmitOrder) -> dict[str, Any]:
    """Return what every report on an order carries."""
    names = ("order_id", "run_id", "strategy_id", "account_id", "instrument_id", "side")
    return {name: getattr(order, name) for name in names}
