"""Corporate actions in the ledger."""

from __future__ import annotations

from agents.orders import split_orders
from agents.portfolio.ledger import Ledger
from schemas.corporate_actions import CorporateAction


def act(ledger: Ledger, action: CorporateAction) -> bool:
    """Book a corporate action; return False, and change nothing, where it was booked before.

    A dividend pays amount x units x multiplier into cash, out of it on a short. A split multiplies units by its ratio
    and divides average price and mark by it, open orders too: equity stays. Fractions of a unit are kept.
    """
    place, name = (action.ts_event, action.sequence), action.instrument_id
    if place <= ledger.actions.get(name, (-1, -1)):
        return False
    ledger.actions[name] = place
    if action.amount is not None:
        _pay(ledger, name, action.amount)
    if action.ratio is not None:
        _split(ledger, name, action.ratio)
    return True


def _pay(ledger: Ledger, name: str, amount: float) -> None:
    holding = ledger.positions.get(name)
    if holding is not None:
        received = holding.quantity * amount * holding.multiplier
        ledger.cash += received
        ledger.dividends += received


def _split(ledger: Ledger, name: str, ratio: float) -> None:
    holding = ledger.positions.get(name)
    if holding is not None:
        holding.quantity *= ratio
        holding.average_price /= ratio
    if name in ledger.marks:
        ledger.marks[name] /= ratio
    for units in ledger.runs.values():
        if name in units:
            units[name] *= ratio
    split_orders(ledger.orders, name, ratio)
