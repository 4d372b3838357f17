"""What risk knows of an account: money, positions, open orders and the limits of its runs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from agents.execution.lifecycle import Report
from agents.orders import Orders, add_quantity, advance, open_quantities, signed
from agents.portfolio.financing import Accrual, FinancingModel
from schemas.fills import OrderFilled
from schemas.strategies import RiskLimits, StrategyStarted
from streams.errors import ConfigError
from streams.state import State


class RunTerms(BaseModel):
    """What risk needs of a run."""

    model_config = ConfigDict(extra="forbid")
    limits: RiskLimits
    calendars: dict[str, str]
    """Trading calendar by instrument: what the run may trade."""
    lots: dict[str, float] = Field(default_factory=dict)
    """Lot size by instrument."""
    active: bool = True
    """False once stopped: its proposals are denied."""


class RiskAccount(State):
    """One account; amounts in its currency."""

    account_id: str = ""
    currency: str = ""
    cash: float = 0.0
    positions: dict[str, float] = Field(default_factory=dict)
    """Signed units by instrument."""
    run_positions: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Each run's own signed units."""
    multipliers: dict[str, float] = Field(default_factory=dict)
    marks: dict[str, float] = Field(default_factory=dict)
    orders: Orders = Field(default_factory=Orders)
    reservations: dict[str, float] = Field(default_factory=dict)
    """Cash set aside for each open purchase."""
    actions: dict[str, tuple[int, int]] = Field(default_factory=dict)
    """(ts_event, sequence) of the last corporate action by instrument."""
    accrual: Accrual = Field(default_factory=Accrual)
    session: str = ""
    """The session that marks belong to, ISO date."""
    session_start_equity: float = 0.0
    """Equity at the last marks of the session before, plus deposits since."""
    kill_switch: bool = False
    halt_reason: str = ""
    """Why the kill switch is active."""
    operator_word: str = ""
    """Command of the operator's word that was taken last; empty before the first."""
    loss_accepted: bool = False
    """Whether an operator released the kill switch over the session's loss, which then does not trip it again."""
    runs: dict[str, RunTerms] = Field(default_factory=dict)


def register(account: RiskAccount, run: StrategyStarted) -> bool:
    """Take a run's limits and deposit its initial cash; return False where that was done before.

    Raises ConfigError for another account or currency.
    """
    if run.run_id in account.runs:
        return False
    if not account.account_id:
        account.account_id, account.currency = run.account_id, run.currency
    for currency in (run.currency, *(instrument.currency for instrument in run.instruments)):
        _check_account(account, run.account_id, currency)
    calendars = {instrument.instrument_id: instrument.calendar for instrument in run.instruments}
    lots = {instrument.instrument_id: instrument.lot_size for instrument in run.instruments}
    account.runs[run.run_id] = RunTerms(limits=run.limits, calendars=calendars, lots=lots)
    account.multipliers |= {instrument.instrument_id: instrument.multiplier for instrument in run.instruments}
    account.cash += run.initial_cash
    account.session_start_equity += run.initial_cash
    return True


def stop(account: RiskAccount, run_id: str) -> None:
    """Deny what the run proposes from now on; its positions stay, its open orders are canceled at the end of marks."""
    if run_id in account.runs:
        account.runs[run_id].active = False


def start_session(account: RiskAccount, session: str) -> None:
    """Measure the daily loss from the equity as it is now; a session that is not later than the current one is ignored.

    Call it before a session's first fills: mark() does it only after them.
    """
    if session > account.session:
        account.session, account.session_start_equity = session, equity(account)


def accrue(account: RiskAccount, financing: FinancingModel, ts: int) -> None:
    """Charge interest up to a time as the ledger does, before anything changes cash, positions or marks."""
    if not financing.charges:
        return
    values = [quantity * unit_value(account, name) for name, quantity in sorted(account.positions.items())]
    shorts = -sum(min(0.0, value) for value in values)
    account.cash += financing.interest(account.cash, shorts, account.accrual.elapse(ts))


def mark(account: RiskAccount, instrument_id: str, price: float, session: str) -> None:
    """Take the last price seen; the first mark of a later session starts that session."""
    start_session(account, session)
    account.marks[instrument_id] = price


def equity(account: RiskAccount) -> float:
    """Return cash plus positions at mark."""
    return account.cash + sum(
        quantity * unit_value(account, name) for name, quantity in sorted(account.positions.items())
    )


def unit_value(account: RiskAccount, instrument_id: str) -> float:
    """Return what one unit is worth at mark."""
    return account.marks[instrument_id] * account.multipliers[instrument_id]


def projected(account: RiskAccount) -> dict[str, float]:
    """Return the account's signed units by instrument once every working order is filled."""
    working = open_quantities(account.orders)
    return {name: account.positions.get(name, 0.0) + working.get(name, 0.0) for name in {*account.positions, *working}}


def apply(account: RiskAccount, report: Report) -> bool:
    """Apply an execution report; return False, and change nothing, where it was applied before.

    Raises ConfigError for another account, run or currency, IllegalTransition or LostFill where a report is missing.
    """
    currency = report.currency if isinstance(report, OrderFilled) else account.currency
    _check_account(account, report.account_id, currency)
    if report.run_id not in account.runs:
        raise ConfigError(f"Run {report.run_id!r} is not registered with account {account.account_id!r}")
    before = account.orders.open.get(report.order_id)
    leaves = before.leaves if before else 0.0
    if not advance(account.orders, report):
        return False
    if isinstance(report, OrderFilled):
        _book(account, report)
    _release(account, report.order_id, leaves)
    return True


def _book(account: RiskAccount, fill: OrderFilled) -> None:
    change = signed(fill.side, fill.quantity)
    account.cash -= change * fill.price * fill.multiplier + fill.commission
    add_quantity(account.positions, fill.instrument_id, change)
    add_quantity(account.run_positions.setdefault(fill.run_id, {}), fill.instrument_id, change)
    account.multipliers.setdefault(fill.instrument_id, fill.multiplier)
    account.marks.setdefault(fill.instrument_id, fill.reference_price)


def _release(account: RiskAccount, order_id: str, leaves_before: float) -> None:
    """Keep of a reservation the share that is still open."""
    order = account.orders.open.get(order_id)
    if order is None:
        account.reservations.pop(order_id, None)
    elif order_id in account.reservations:
        account.reservations[order_id] *= order.leaves / leaves_before


def _check_account(account: RiskAccount, account_id: str, currency: str) -> None:
    if (account_id, currency) != (account.account_id, account.currency):
        raise ConfigError(
            f"Account {account.account_id!r} holds {account.currency!r}, got account {account_id!r} in {currency!r}"
        )
