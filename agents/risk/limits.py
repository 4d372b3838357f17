"""Decide on proposals: deny, or submit and reserve the cash until a terminal report."""

from __future__ import annotations

from agents.orders import OpenOrder
from agents.risk.account import RiskAccount, RunTerms, accrue, apply, equity, mark, register, start_session, stop
from agents.risk.case import Case, Denial, cash_needed, exceeds, session_loss
from agents.risk.checks import first_denial
from schemas.message import Message
from schemas.orders import CancelOrder, OrderProposed, SubmitOrder
from schemas.risk import KillSwitchChanged, KillSwitchSet, OrderDenied
from streams.ids import derive_id

__all__ = [
    "RiskAccount",
    "RunTerms",
    "accrue",
    "apply",
    "decide",
    "end_of_marks",
    "equity",
    "mark",
    "register",
    "start_session",
    "stop",
    "take_word",
]


def decide(
    account: RiskAccount,
    proposal: OrderProposed,
    commission_rate: float,
    cash_buffer: float,
    ts: int,
    *,
    count_sales: bool = False,
) -> SubmitOrder | OrderDenied | None:
    """Submit a proposal and reserve its cash, or deny it; return None for a proposal that was decided before.

    commission_rate and cash_buffer are fractions of the notional. With count_sales, the proceeds of working sales count
    as available cash. The order's id derives from the proposal's alone.
    """
    order_id = derive_id(proposal.proposal_id, "risk", 0)
    if account.orders.knows(order_id):
        return None
    case = Case(account, proposal, commission_rate, cash_buffer, count_sales)
    denial = first_denial(case)
    if denial is not None:
        account.orders.ended.add(order_id)
        return _denied(proposal, denial, ts)
    _open(case, order_id)
    return _submitted(account, proposal, order_id, ts)


def take_word(account: RiskAccount, word: KillSwitchSet, ts: int) -> KillSwitchChanged | None:
    """Set the kill switch as an operator says; return None for the word that was taken last.

    Every other word is answered, also where the switch stays as it is. A release accepts the session's loss.
    """
    if word.command_id == account.operator_word:
        return None
    account.operator_word = word.command_id
    account.loss_accepted = not word.active
    return _set_kill_switch(account, word.active, word.reason, ts)


def end_of_marks(account: RiskAccount, ts: int) -> list[Message]:
    """Return what the marks lead to: the kill switch tripped by the session's loss, and open orders canceled.

    The loss is held against the strictest max_daily_loss of the active runs. One that an operator accepted trips again
    only after it was within the limit in between. Canceled are all orders while the kill switch is active, else those
    of runs that were stopped.
    """
    tripped = _trip(account, ts)
    return [*([tripped] if tripped else []), *_cancels(account, ts)]


def _trip(account: RiskAccount, ts: int) -> KillSwitchChanged | None:
    limits = [terms.limits.max_daily_loss for terms in account.runs.values() if terms.active]
    loss = session_loss(account)
    if not limits or not exceeds(loss, min(limits)):
        account.loss_accepted = False
        return None
    if account.kill_switch or account.loss_accepted:
        return None
    reason = (
        f"equity fell {loss:.2%} since the start of session {account.session}, from {account.session_start_equity:,.2f}"
        f" to {equity(account):,.2f} {account.currency}, limit {min(limits):.2%}"
    )
    return _set_kill_switch(account, True, reason, ts)


def _set_kill_switch(account: RiskAccount, active: bool, reason: str, ts: int) -> KillSwitchChanged:
    account.kill_switch, account.halt_reason = active, reason if active else ""
    return KillSwitchChanged(account_id=account.account_id, active=active, reason=reason, ts_event=ts)


def _cancels(account: RiskAccount, ts: int) -> list[CancelOrder]:
    """Withdraw what must not work on; the venue answers within the slice, so the next marks find none of it open."""
    orders = account.orders.open
    doomed = [name for name in sorted(orders) if account.kill_switch or not _is_active(account, orders[name].run_id)]
    return [
        CancelOrder(
            order_id=order_id,
            run_id=orders[order_id].run_id,
            account_id=account.account_id,
            instrument_id=orders[order_id].instrument_id,
            reason=account.halt_reason if account.kill_switch else f"run {orders[order_id].run_id} was stopped",
            ts_event=ts,
        )
        for order_id in doomed
    ]


def _is_active(account: RiskAccount, run_id: str) -> bool:
    terms = account.runs.get(run_id)
    return terms is not None and terms.active


def _open(case: Case, order_id: str) -> None:
    account, proposal = case.account, case.proposal
    account.orders.open[order_id] = OpenOrder(
        run_id=proposal.run_id,
        instrument_id=proposal.instrument_id,
        leaves=case.change,
        price=case.price,
        status="SUBMITTED",
    )
    if proposal.side == "BUY":
        account.reservations[order_id] = cash_needed(case)


def _submitted(account: RiskAccount, proposal: OrderProposed, order_id: str, ts: int) -> SubmitOrder:
    fields, terms = proposal.model_dump() | {"ts_event": ts}, account.runs[proposal.run_id]
    return SubmitOrder(
        **fields,
        order_id=order_id,
        currency=account.currency,
        multiplier=account.multipliers[proposal.instrument_id],
        calendar=terms.calendars[proposal.instrument_id],
        lot_size=terms.lots.get(proposal.instrument_id, 1.0),
    )


def _denied(proposal: OrderProposed, denial: Denial, ts: int) -> OrderDenied:
    return OrderDenied(
        run_id=proposal.run_id,
        strategy_id=proposal.strategy_id,
        account_id=proposal.account_id,
        instrument_id=proposal.instrument_id,
        side=proposal.side,
        quantity=proposal.quantity,
        proposal_id=proposal.proposal_id,
        code=denial.code,
        reason=denial.reason,
        limit=denial.limit,
        value=denial.value,
        ts_event=ts,
    )
