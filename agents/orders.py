"""Open orders as their reports tell them, each report applied once."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from agents.execution.lifecycle import Report, Status, ended, next_status
from agents.quantities import DUST, is_dust
from schemas.fills import OrderAccepted, OrderFilled
from schemas.orders import Side
from streams.errors import FinAgentError
from streams.state import State

ENDED_KEPT = 1024
"""Ended orders whose late duplicates are recognised."""


class LostFill(FinAgentError):
    """A fill's cumulative quantity does not follow on the fills before it."""


class OpenOrder(BaseModel):
    """An order that has not ended."""

    model_config = ConfigDict(extra="forbid")
    run_id: str
    instrument_id: str
    leaves: float
    """Open units, negative for a sale."""
    cumulative: float = 0.0
    """Units filled so far."""
    price: float = 0.0
    """Price that it was valued at when it was made; 0 where only reports are known."""
    status: Status = "INITIALIZED"


class RecentIds(State):
    """The last ENDED_KEPT ids, oldest first."""

    ids: list[str] = Field(default_factory=list)
    _known: set[str] = PrivateAttr(default_factory=set)

    def model_post_init(self, context: object, /) -> None:
        """Index the ids of a restored state."""
        self._known = set(self.ids)

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def add(self, name: str) -> None:
        """Remember an id and forget the oldest beyond the bound."""
        if name in self._known:
            return
        self.ids.append(name)
        self._known.add(name)
        if len(self.ids) > ENDED_KEPT:
            self._known.discard(self.ids.pop(0))


class Orders(State):
    """The open orders of an account, and which ones ended lately."""

    open: dict[str, OpenOrder] = Field(default_factory=dict)
    ended: RecentIds = Field(default_factory=RecentIds)

    def knows(self, order_id: str) -> bool:
        """Return whether the order is open or ended lately."""
        return order_id in self.open or order_id in self.ended


def signed(side: Side, quantity: float) -> float:
    """Return a quantity as a change of position: negative for a sale."""
    return quantity if side == "BUY" else -quantity


def advance(orders: Orders, report: Report) -> bool:
    """Apply a report; return False, and change nothing, where it was applied before.

    Raises IllegalTransition or LostFill where a report in between is missing.
    """
    if report.order_id in orders.ended:
        return False
    order = orders.open.get(report.order_id) or _opened(report)
    if _seen(order, report):
        return False
    order.status = next_status(order.status, report)
    if isinstance(report, OrderFilled):
        _fill(order, report)
    if ended(order.status):
        orders.open.pop(report.order_id, None)
        orders.ended.add(report.order_id)
    else:
        orders.open[report.order_id] = order
    return True


def open_quantities(orders: Orders, run_id: str | None = None) -> dict[str, float]:
    """Return the signed units that working orders may still trade, by instrument, of one run or of all."""
    totals: dict[str, float] = {}
    # Sorted, so that the sums have the same bits after a restore.
    for order_id in sorted(orders.open):
        order = orders.open[order_id]
        if run_id in (None, order.run_id):
            totals[order.instrument_id] = totals.get(order.instrument_id, 0.0) + order.leaves
    return totals


def split_orders(orders: Orders, instrument_id: str, ratio: float) -> None:
    """Adjust open orders to a split of ratio new units for one, as the venue does."""
    for order in orders.open.values():
        if order.instrument_id == instrument_id:
            order.leaves *= ratio
            order.cumulative *= ratio
            order.price /= ratio


def add_quantity(quantities: dict[str, float], instrument_id: str, change: float) -> None:
    """Add to a position and drop it where it comes to zero."""
    before = quantities.get(instrument_id, 0.0)
    if is_dust(before + change, abs(change)):
        quantities.pop(instrument_id, None)
    else:
        quantities[instrument_id] = before + change


def _opened(report: Report) -> OpenOrder:
    return OpenOrder(
        run_id=report.run_id, instrument_id=report.instrument_id, leaves=signed(report.side, report.quantity)
    )


def _seen(order: OpenOrder, report: Report) -> bool:
    if isinstance(report, OrderAccepted):
        return order.status not in ("INITIALIZED", "SUBMITTED")
    if isinstance(report, OrderFilled):
        return report.cumulative_quantity <= order.cumulative * (1 + DUST)
    return False


def _fill(order: OpenOrder, report: OrderFilled) -> None:
    expected = order.cumulative + report.quantity
    if abs(report.cumulative_quantity - expected) > 1e-9 * expected:
        raise LostFill(
            f"Fill {report.fill_id} of order {report.order_id} brings it to {report.cumulative_quantity},"
            f" expected {expected}"
        )
    order.cumulative = report.cumulative_quantity
    order.leaves = signed(report.side, report.leaves_quantity)
