"""The execution pool: a paper venue for each instrument."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agents.context import Because
from agents.execution.venue import Book, cancel, match_bar, match_ticks, submit
from agents.pool import AgentPool
from agents.transaction_cost.model import CostModel
from schemas import Bar, CancelOrder, OrderReport, SubmitOrder, TickBlock
from streams.record import rfc3339


def build(costs: CostModel) -> AgentPool:
    """Return the pool; fills pay what the cost model says."""
    pool = AgentPool("execution", role="execution")

    @pool.on
    def on_bar(bar: Bar, book: Book) -> Iterator[Because]:
        """Fill what the bar reaches."""
        return _reports(match_bar(book, bar, costs))

    @pool.on
    def on_ticks(block: TickBlock, book: Book) -> Iterator[Because]:
        """Fill what the trades reach; a session is a UTC day."""
        return _reports(match_ticks(book, block, costs, session_date=rfc3339(block.base_ts)[:10]))

    @pool.on
    def on_order(order: SubmitOrder, book: Book) -> Iterator[Because]:
        """Accept or reject an order."""
        return _reports([submit(book, order)])

    @pool.on
    def on_cancel(command: CancelOrder, book: Book) -> Iterator[Because]:
        """Withdraw an order."""
        return _reports([cancel(book, command)])

    return pool


def _reports(reports: Sequence[OrderReport | None]) -> Iterator[Because]:
    return (Because(report, report.order_id) for report in reports if report is not None)
