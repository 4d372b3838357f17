"""The life cycle of an order as a table of legal transitions."""

from __future__ import annotations

from typing import Literal

from schemas.fills import OrderAccepted, OrderCanceled, OrderExpired, OrderFilled, OrderRejected
from streams.errors import FinAgentError

Report = OrderAccepted | OrderRejected | OrderFilled | OrderCanceled | OrderExpired
"""What the venue says about an order."""
Status = Literal[
    "INITIALIZED", "SUBMITTED", "ACCEPTED", "REJECTED", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"
]
"""INITIALIZED: known, not sent; SUBMITTED: sent to the venue, not answered; the rest as the venue reported."""

_WORKING: frozenset[Status] = frozenset({"PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"})
TRANSITIONS: dict[Status, frozenset[Status]] = {
    "INITIALIZED": frozenset({"ACCEPTED", "REJECTED"}),
    "SUBMITTED": frozenset({"ACCEPTED", "REJECTED"}),
    "ACCEPTED": _WORKING,
    "PARTIALLY_FILLED": _WORKING,
    "REJECTED": frozenset(),
    "FILLED": frozenset(),
    "CANCELED": frozenset(),
    "EXPIRED": frozenset(),
}
"""From each status, those that may follow; the empty ones end the order."""


class IllegalTransition(FinAgentError):
    """A report does not fit the order's status: one before it was lost, or the venue is wrong."""


def next_status(status: Status, report: Report) -> Status:
    """Return the status after a report; raise IllegalTransition where the table has no such step."""
    reached = _reached(report)
    if reached not in TRANSITIONS[status]:
        legal = sorted(TRANSITIONS[status])
        raise IllegalTransition(
            f"Order {report.order_id} is {status}, cannot become {reached}, expected one of {legal}"
        )
    return reached


def ended(status: Status) -> bool:
    """Return whether no report may follow."""
    return not TRANSITIONS[status]


def _reached(report: Report) -> Status:
    match report:
        case OrderAccepted():
            return "ACCEPTED"
        case OrderRejected():
            return "REJECTED"
        case OrderFilled():
            return "PARTIALLY_FILLED" if report.leaves_quantity > 0 else "FILLED"
        case OrderCanceled():
            return "CANCELED"
        case OrderExpired():
            return "EXPIRED"
