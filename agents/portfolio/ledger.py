"""The ledger: an account's cash, positions and profit, from execution reports alone."""

from __future__ import annotations

from agents.execution.lifecycle import Report
from agents.orders import add_quantity, advance, signed
from agents.portfolio.financing import FinancingModel
from agents.portfolio.holding import Holding, trade
from agents.portfolio.statement import Ledger, OutOfBalance, check_balance, equity, snapshot, value
from schemas.fills import OrderFilled
from schemas.strategies import StrategyStarted
from streams.errors import ConfigError

__all__ = [
    "Ledger",
    "OutOfBalance",
    "accrue",
    "apply",
    "check_balance",
    "deposit",
    "equity",
    "mark",
    "register",
    "snapshot",
]


def register(ledger: Ledger, run: StrategyStarted) -> bool:
    """Open the account of a run and deposit its initial cash; return False where that was done before.

    Raises ConfigError for another account or currency.
    """
    if run.run_id in ledger.runs:
        return False
    if not ledger.account_id:
        ledger.account_id, ledger.currency = run.account_id, run.currency
    for currency in (run.currency, *(instrument.currency for instrument in run.instruments)):
        _check_account(ledger, run.account_id, currency)
    ledger.runs[run.run_id] = {}
    deposit(ledger, run.initial_cash)
    return True


def deposit(ledger: Ledger, amount: float) -> None:
    """Put money in, in the account's currency; a negative amount takes it out."""
    ledger.cash += amount
    ledger.deposits += amount


def apply(ledger: Ledger, report: Report) -> bool:
    """Apply an execution report; return False, and change nothing, where it was applied before.

    Raises ConfigError for another account, run or currency, IllegalTransition or LostFill where a report is missing.
    """
    currency = report.currency if isinstance(report, OrderFilled) else ledger.currency
    _check_account(ledger, report.account_id, currency)
    if report.run_id not in ledger.runs:
        raise ConfigError(f"Run {report.run_id!r} is not registered with account {ledger.account_id!r}")
    if not advance(ledger.orders, report):
        return False
    if isinstance(report, OrderFilled):
        _book(ledger, report)
    return True


def accrue(ledger: Ledger, financing: FinancingModel, ts: int) -> None:
    """Charge interest up to a time on cash and shorts as they are, at the last marks; a second time changes nothing.

    Call it before anything changes cash, positions or marks; the first call only starts the clock.
    """
    if not financing.charges:
        return
    shorts = -sum(min(0.0, value(ledger, name)) for name in sorted(ledger.positions))
    amount = financing.interest(ledger.cash, shorts, ledger.accrual.elapse(ts))
    ledger.cash += amount
    ledger.interest += amount


def mark(ledger: Ledger, instrument_id: str, price: float) -> None:
    """Take the last price seen."""
    ledger.marks[instrument_id] = price


def _book(ledger: Ledger, fill: OrderFilled) -> None:
    change = signed(fill.side, fill.quantity)
    holding = ledger.positions.setdefault(fill.instrument_id, Holding(multiplier=fill.multiplier))
    ledger.realised_pnl += trade(holding, change, fill.price)
    ledger.cash -= change * fill.price * fill.multiplier + fill.commission
    ledger.commission += fill.commission
    ledger.fills += 1
    if holding.quantity == 0:
        del ledger.positions[fill.instrument_id]
    add_quantity(ledger.runs[fill.run_id], fill.instrument_id, change)
    # The datum's price is the only one known until the slice is marked.
    ledger.marks.setdefault(fill.instrument_id, fill.reference_price)


def _check_account(ledger: Ledger, account_id: str, currency: str) -> None:
    if (account_id, currency) != (ledger.account_id, ledger.currency):
        raise ConfigError(
            f"Account {ledger.account_id!r} holds {ledger.currency!r}, got account {account_id!r} in {currency!r}"
        )
