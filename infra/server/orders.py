"""What the venue has made of each listed order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from infra.server.history import Seen
from infra.server.items import OrderItem, item_of
from schemas import OrderAccepted, OrderCanceled, OrderFilled, OrderRejected, OrderReport, SubmitOrder


@dataclass(slots=True)
class OrderState:
    """Where an order stands."""

    status: str = "submitted"
    filled: float = 0.0
    reason: str = ""
    ended: bool = False


@dataclass
class Orders:
    """The states of the orders that are listed, by order_id."""

    states: dict[str, OrderState] = field(default_factory=dict)

    def learn(self, report: OrderReport) -> None:
        """Note an execution report; orders and fills are read in any order."""
        state = self.states.setdefault(report.order_id, OrderState())
        if isinstance(report, OrderFilled):
            state.filled = max(state.filled, report.cumulative_quantity)
            if not state.ended:
                state.ended = report.leaves_quantity == 0
                state.status = "filled" if state.ended else "partially_filled"
        elif isinstance(report, OrderAccepted):
            state.status = "accepted" if state.status == "submitted" else state.status
        else:
            state.ended, state.reason = True, getattr(report, "reason", "")
            ends = {OrderRejected: "rejected", OrderCanceled: "canceled"}
            state.status = next((name for kind, name in ends.items() if isinstance(report, kind)), "expired")

    def forget(self, order: SubmitOrder) -> None:
        """Drop the state of an order that is no longer listed."""
        self.states.pop(order.order_id, None)

    def item(self, seen: Seen[Any]) -> OrderItem:
        """Return an order with its state."""
        state = self.states.get(seen.message.order_id) or OrderState()
        return item_of(seen, OrderItem, status=state.status, filled_quantity=state.filled, status_reason=state.reason)
