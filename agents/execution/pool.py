"""The execution pool: a paper venue for each instrument."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from agents.context import Because
from agents.data.calendars import ALWAYS, iso_date, nearest_sessions
from agents.execution.venue import Book, FillAt, act, cancel, fill_same_close, match_bar, match_ticks, submit
from agents.pool import AgentPool
from agents.transaction_cost.model import CostModel
from schemas import Bar, CancelOrder, CorporateAction, OrderAccepted, OrderReport, SubmitOrder, TickBlock

CostsAt = Callable[[int], CostModel]
"""The cost model at a time, ns UTC."""


def build(costs: CostModel | CostsAt, fill_at: FillAt = "next_open") -> AgentPool:
    """Return the pool; fills pay what the cost model says, or the one at the time of the row that they meet.

    With same_close an order fills at the close that it was decided on: its fill then carries the order's own ts_event.
    """
    pool = AgentPool("execution", role="execution")
    costs_at: CostsAt = (lambda ts: costs) if isinstance(costs, CostModel) else costs

    @pool.on
    def on_bar(bar: Bar, book: Book) -> Iterator[Because]:
        """Fill what the bar reaches."""
        return _reports([] if fill_at == "next_tick" else match_bar(book, bar, costs_at(bar.ts_event), fill_at))

    @pool.on
    def on_action(action: CorporateAction, book: Book) -> Iterator[Because]:
        """Adjust what is working."""
        return _reports(act(book, action))

    @pool.on
    def on_ticks(block: TickBlock, book: Book) -> Iterator[Because]:
        """Fill what the trades reach."""
        session, cost = _session_date(book, block.base_ts), costs_at(block.ts_event)
        return _reports(match_ticks(book, block, cost, session_date=session))

    @pool.on
    def on_order(order: SubmitOrder, book: Book) -> Iterator[Because]:
        """Accept or reject an order."""
        report = submit(book, order)
        cost = costs_at(order.ts_event)
        filled = fill_same_close(book, order.order_id, cost) if isinstance(report, OrderAccepted) else []
        return _reports([report, *filled])

    @pool.on
    def on_cancel(command: CancelOrder, book: Book) -> Iterator[Because]:
        """Withdraw an order."""
        return _reports([cancel(book, command)])

    return pool


def _session_date(book: Book, ts: int) -> str:
    """Return the session that a trade belongs to, by the calendar that the working orders name."""
    calendars = (working.order.calendar for working in book.working.values())
    return iso_date(nearest_sessions(next(calendars, ALWAYS), np.array([ts]))[0])


def _reports(reports: Sequence[OrderReport | None]) -> Iterator[Because]:
    return (Because(report, report.order_id) for report in reports if report is not None)
