"""Figures of trading, from the log: what was ordered, denied and reported, and where each account stands."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from schemas import (
    Message,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    PositionsUpdated,
    SubmitOrder,
)

MAX_ACCOUNTS = 200
"""Accounts that are told of: those whose positions changed last."""
REPORTS: dict[type[Message], str] = {
    OrderAccepted: "accepted",
    OrderRejected: "rejected",
    OrderFilled: "filled",
    OrderCanceled: "canceled",
    OrderExpired: "expired",
}


@dataclass
class LogFigures:
    """Totals over what was read of orders, risk, fills and positions."""

    orders: Counter[str] = field(default_factory=Counter)
    """Orders that risk submitted, by side."""
    reports: Counter[str] = field(default_factory=Counter)
    """Execution reports, by kind."""
    denials: Counter[str] = field(default_factory=Counter)
    """Proposals that risk denied, by code."""
    accounts: OrderedDict[str, PositionsUpdated] = field(default_factory=OrderedDict)
    """The latest state of each account, the one that changed last at the end."""

    def learn(self, message: Message) -> None:
        """Take a message in; those of other types are passed over."""
        kind = type(message)
        if kind in REPORTS:
            self.reports[REPORTS[kind]] += 1
        elif isinstance(message, SubmitOrder):
            self.orders[message.side] += 1
        elif isinstance(message, OrderDenied):
            self.denials[message.code] += 1
        elif isinstance(message, PositionsUpdated):
            self.accounts[message.account_id] = message
            self.accounts.move_to_end(message.account_id)
            if len(self.accounts) > MAX_ACCOUNTS:
                self.accounts.popitem(last=False)
