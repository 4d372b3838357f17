"""The pre-trade checks, in the order in which they are made; docs/risk.md lists them."""

from __future__ import annotations

from collections.abc import Callable

from agents.quantities import is_dust
from agents.risk.account import equity, unit_value
from agents.risk.case import Case, Denial, cash_needed, exceeds, margin_needed, session_loss
from schemas.risk import DenialCode


def first_denial(case: Case) -> Denial | None:
    """Return the first check that says no, or None where all pass."""
    return next((denial for check in CHECKS if (denial := check(case))), None)


def _kill_switch(case: Case) -> Denial | None:
    if not case.account.kill_switch:
        return None
    return Denial("KILL_SWITCH", f"the kill switch of account {case.account.account_id} is active", 0.0, 1.0)


def _unknown_run(case: Case) -> Denial | None:
    run_id, instrument_id = case.proposal.run_id, case.proposal.instrument_id
    terms = case.account.runs.get(run_id)
    if terms is None:
        return Denial("UNKNOWN_RUN", f"run {run_id} is not known to account {case.account.account_id}", 0.0, 0.0)
    if not terms.active:
        return Denial("UNKNOWN_RUN", f"run {run_id} was stopped", 0.0, 0.0)
    if instrument_id not in terms.calendars:
        return Denial("UNKNOWN_RUN", f"run {run_id} does not trade {instrument_id}", 0.0, 0.0)
    return None


def _no_mark(case: Case) -> Denial | None:
    if case.proposal.instrument_id in case.account.marks:
        return None
    return Denial("NO_MARK", f"no price of {case.proposal.instrument_id} was seen yet", 0.0, 0.0)


def _short(case: Case) -> Denial | None:
    if case.limits.allow_short or case.proposal.side == "BUY":
        return None
    held, selling = _run_units(case)
    after = held - selling - case.proposal.quantity
    if after >= 0 or is_dust(after, held):
        return None
    reason = (
        f"sells {case.proposal.quantity:g} of {held:g} held, {selling:g} of them in working sales; short is not allowed"
    )
    return Denial("SHORT_NOT_ALLOWED", reason, 0.0, after)


def _run_units(case: Case) -> tuple[float, float]:
    """Return the run's units of the instrument and those in its working sales."""
    run_id, instrument_id = case.proposal.run_id, case.proposal.instrument_id
    held = case.account.run_positions.get(run_id, {}).get(instrument_id, 0.0)
    working = [order for order in case.account.orders.open.values() if order.run_id == run_id]
    return held, -sum(o.leaves for o in working if o.instrument_id == instrument_id and o.leaves < 0)


def _daily_loss(case: Case) -> Denial | None:
    loss, limit = session_loss(case.account), case.limits.max_daily_loss
    if case.reduces or not exceeds(loss, limit):
        return None
    start, now = case.account.session_start_equity, equity(case.account)
    reason = f"equity fell {loss:.2%} from {start:,.2f} to {now:,.2f} {case.account.currency}, limit {limit:.2%}"
    return Denial("DAILY_LOSS", reason, limit, loss)


def _order_notional(case: Case) -> Denial | None:
    limit = case.limits.max_order_notional
    if case.reduces or not exceeds(case.notional, limit):
        return None
    reason = f"order is worth {case.notional:,.2f} {case.account.currency}, limit {limit:,.2f}"
    return Denial("MAX_ORDER_NOTIONAL", reason, limit, case.notional)


def _position_weight(case: Case) -> Denial | None:
    name = case.proposal.instrument_id
    return _share(case, "MAX_POSITION_WEIGHT", f"{name} would be", _values(case)[name], case.limits.max_position_weight)


def _gross_exposure(case: Case) -> Denial | None:
    value = sum(amount for _, amount in sorted(_values(case).items()))
    return _share(case, "MAX_GROSS_EXPOSURE", "gross exposure would be", value, case.limits.max_gross_exposure)


def _values(case: Case) -> dict[str, float]:
    """Return |position value| by instrument with the proposal and every working order filled."""
    name = case.proposal.instrument_id
    units = case.projected | {name: case.projected.get(name, 0.0) + case.change}
    return {name: abs(quantity) * unit_value(case.account, name) for name, quantity in units.items()}


def _share(case: Case, code: DenialCode, what: str, value: float, limit: float) -> Denial | None:
    worth, currency = equity(case.account), case.account.currency
    if case.reduces or (worth > 0 and not exceeds(value / worth, limit)):
        return None
    if worth <= 0:
        return Denial(code, f"{what} {value:,.2f} {currency} on equity {worth:,.2f}", 0.0, value)
    reason = f"{what} {value:,.2f} {currency} = {value / worth:.4f} of equity {worth:,.2f}, limit {limit:g}"
    return Denial(code, reason, limit, value / worth)


def _cash(case: Case) -> Denial | None:
    if case.limits.max_gross_exposure > 1:
        return _buying_power(case)
    account, needs = case.account, cash_needed(case)
    reserved = sum(amount for _, amount in sorted(account.reservations.items()))
    sales = _working_sales(case) if case.count_sales else 0.0
    available = account.cash - reserved + sales
    if case.proposal.side == "SELL" or not exceeds(needs, available):
        return None
    terms = f"cash {account.cash:,.2f} - reserved {reserved:,.2f}" + (f" + sales {sales:,.2f}" if sales else "")
    reason = f"needs {needs:,.2f} {account.currency}, available {available:,.2f} = {terms}"
    return Denial("INSUFFICIENT_CASH", reason, available, needs)


def _buying_power(case: Case) -> Denial | None:
    """Compare a purchase on margin with equity x max_gross_exposure - gross exposure, working orders filled."""
    if case.proposal.side == "SELL" or case.reduces:
        return None
    worth, limit, currency = equity(case.account), case.limits.max_gross_exposure, case.account.currency
    values = [abs(units) * unit_value(case.account, name) for name, units in sorted(case.projected.items())]
    exposure, needs = sum(values), margin_needed(case)
    available = worth * limit - exposure
    if not exceeds(needs, available):
        return None
    terms = f"equity {worth:,.2f} x {limit:g} - exposure {exposure:,.2f}"
    return Denial(
        "INSUFFICIENT_CASH", f"needs {needs:,.2f} {currency}, available {available:,.2f} = {terms}", available, needs
    )


def _working_sales(case: Case) -> float:
    """Return what the account's working sales bring in at mark, less the buffer and commission."""
    orders = case.account.orders.open
    working = [orders[order_id] for order_id in sorted(orders) if orders[order_id].leaves < 0]
    value = sum(-order.leaves * unit_value(case.account, order.instrument_id) for order in working)
    return value * (1 - case.cash_buffer - case.commission_rate)


CHECKS: tuple[Callable[[Case], Denial | None], ...] = (
    _kill_switch,
    _unknown_run,
    _no_mark,
    _short,
    _daily_loss,
    _order_notional,
    _position_weight,
    _gross_exposure,
    _cash,
)
"""In the order in which they are made."""
