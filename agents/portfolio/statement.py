"""What an account owns and what that is worth."""

from __future__ import annotations

from pydantic import Field

from agents.orders import Orders
from agents.portfolio.financing import Accrual
from agents.portfolio.holding import Holding
from schemas.positions import Position, PositionsUpdated
from streams.errors import FinAgentError
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
    interest: float = 0.0
    """Received less paid, borrow fees included."""
    dividends: float = 0.0
    """Received less paid on shorts."""
    actions: dict[str, tuple[int, int]] = Field(default_factory=dict)
    """(ts_event, sequence) of the last corporate action by instrument."""
    accrual: Accrual = Field(default_factory=Accrual)
    fills: int = 0
    positions: dict[str, Holding] = Field(default_factory=dict)
    runs: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Each run's own signed units by instrument; a run that is here has made its deposit."""
    marks: dict[str, float] = Field(default_factory=dict)
    orders: Orders = Field(default_factory=Orders)


def equity(ledger: Ledger) -> float:
    """Return cash plus positions at mark."""
    return ledger.cash + sum(value(ledger, name) for name in sorted(ledger.positions))


def value(ledger: Ledger, instrument_id: str) -> float:
    """Return what a position is worth at mark, below 0 where short."""
    holding = ledger.positions[instrument_id]
    return holding.quantity * ledger.marks[instrument_id] * holding.multiplier


def check_balance(ledger: Ledger) -> None:
    """Raise OutOfBalance where cash + positions at mark differs from what was put in and earned.

    Earned: realised + unrealised - commission + interest + dividends.
    Tolerance: 1e-6 of the currency unit, or 1e-12 of the largest amount in the sum.
    """
    unrealised = sum(_unrealised(ledger, name) for name in sorted(ledger.positions))
    owned = equity(ledger)
    received = ledger.interest + ledger.dividends
    earned = ledger.deposits + ledger.realised_pnl + unrealised - ledger.commission + received
    amounts = (ledger.cash, ledger.deposits, ledger.realised_pnl, unrealised, ledger.commission, owned, received)
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
        interest=ledger.interest,
        dividends=ledger.dividends,
        fills=ledger.fills,
        positions=positions,
        ts_event=ts,
    )


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
