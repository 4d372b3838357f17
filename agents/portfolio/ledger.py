"""The ledger: an account's cash, positions and profit, from execution reports alone."""

from __future__ import annotations

from pydantic import Field

from agents.execution.lifecycle import Report
from agents.orders import Orders, add_quantity, advance, signed
from agents.portfolio.holding import Holding, trade
from schemas.fills import OrderFilled
from schemas.positions import Position, PositionsUpdated
from schemas.strategies import StrategyStarted
from streams.errors import ConfigError, FinAgentError
from streams.state import State


class OutOfBalance(FinAgentError):
    """Cash and positions do not add up to deposits and profit."""


class Ledger(State):
    """What one account owns and owes; amounts in its currency."""

    account_id: str = ""
    currency: str = ""
    cash: float = 0.0
    deposits: float = 0.0
    realised_pnl: float = 0.0
    """Profit of closed quantities, before commission."""
    commission: float = 0.0
    fills: int = 0
    positions: dict[str, Holding] = Field(default_factory=dict)
    runs: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Each run's own signed units by instrument; a run that is here has made its deposit."""
    marks: dict[str, float] = Field(default_factory=dict)
    orders: Orders = Field(default_factory=Orders)


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


def mark(ledger: Ledger, instrument_id: str, price: float) -> None:
    """Take the last price seen."""
    ledger.marks[instrument_id] = price


def equity(ledger: Ledger) -> float:
    """Return cash plus positions at mark."""
    return ledger.cash + sum(_value(ledger, name) for name in sorted(ledger.positions))


def check_balance(ledger: Ledger) -> None:
    """Raise OutOfBalance where cash + positions at mark differs from deposits + realised + unrealised - commission.

    Tolerance: 1e-6 of the currency unit, or 1e-12 of the largest amount in the sum.
    """
    unrealised = sum(_unrealised(ledger, name) for name in sorted(ledger.positions))
    owned = equity(ledger)
    earned = ledger.deposits + ledger.realised_pnl + unrealised - ledger.commission
    amounts = (ledger.cash, ledger.deposits, ledger.realised_pnl, unrealised, ledger.commission, owned)
    if not abs(owned - earned) <= max(1e-6, 1e-12 * max(map(abs, amounts))):
        raise OutOfBalance(f"Account {ledger.account_id} owns {owned!r} {ledger.currency}, expected {earned!r}")


def snapshot(ledger: Ledger, ts: int) -> PositionsUpdated:
    """Return the account's state at the end of a slice, positions in instrument order."""
    positions = tuple(_position(ledger, name) for name in sorted(ledger.positions))
    return PositionsUpdated(
        account_id=ledger.account_id,
        currency=ledger.currency,
        cash=ledger.cash,
        equity=equity(ledger),
        deposits=ledger.deposits,
        realised_pnl=ledger.realised_pnl,
        unrealised_pnl=sum(position.unrealised_pnl for position in positions),
        commission=ledger.commission,
        fills=ledger.fills,
        positions=positions,
        ts_event=ts,
    )


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


def _value(ledger: Ledger, instrument_id: str) -> float:
    holding = ledger.positions[instrument_id]
    return holding.quantity * ledger.marks[instrument_id] * holding.multiplier


def _unrealised(ledger: Ledger, instrument_id: str) -> float:
    holding = ledger.positions[instrument_id]
    return (ledger.marks[instrument_id] - holding.average_price) * holding.quantity * holding.multiplier


def _position(ledger: Ledger, instrument_id: str) -> Position:
    holding = ledger.positions[instrument_id]
    return Position(
        instrument_id=instrument_id,
        quantity=holding.quantity,
        average_price=holding.average_price,
        mark=ledger.marks[instrument_id],
        unrealised_pnl=_unrealised(ledger, instrument_id),
    )


def _check_account(ledger: Ledger, account_id: str, currency: str) -> None:
    if (account_id, currency) != (ledger.account_id, ledger.currency):
        raise ConfigError(
            f"Account {ledger.account_id!r} holds {ledger.currency!r}, got account {account_id!r} in {currency!r}"
        )
