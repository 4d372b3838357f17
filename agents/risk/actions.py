"""Corporate actions in risk's account: as in the ledger."""

from __future__ import annotations

from agents.orders import split_orders
from agents.risk.account import RiskAccount, start_session
from schemas.corporate_actions import CorporateAction


def act(account: RiskAccount, action: CorporateAction) -> bool:
    """Book a corporate action; return False, and change nothing, where it was booked before.

    The session starts before it: the price falls by what a dividend pays, and neither alone is a profit or a loss.
    """
    place, name = (action.ts_event, action.sequence), action.instrument_id
    if place <= account.actions.get(name, (-1, -1)):
        return False
    start_session(account, action.ex_date)
    account.actions[name] = place
    if action.amount is not None:
        account.cash += account.positions.get(name, 0.0) * action.amount * account.multipliers.get(name, 1.0)
    if action.ratio is not None:
        _split(account, name, action.ratio)
    return True


def _split(account: RiskAccount, name: str, ratio: float) -> None:
    for units in (account.positions, *account.run_positions.values()):
        if name in units:
            units[name] *= ratio
    if name in account.marks:
        account.marks[name] /= ratio
    split_orders(account.orders, name, ratio)
