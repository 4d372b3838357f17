"""Positions: an account's state after a slice."""

from __future__ import annotations

from pydantic import Field

from schemas.message import Cost, Currency, Id, InstrumentId, Message, Money, Nanoseconds, Price


class Position(Message):
    """Units held of one instrument."""

    instrument_id: InstrumentId
    """SYMBOL.VENUE."""
    quantity: float
    """Units, negative where short."""
    average_price: Price
    """Average entry price per unit."""
    mark: Price
    """Last price seen."""
    unrealised_pnl: Money
    """(mark - average_price) x quantity x multiplier."""


class PositionsUpdated(Message):
    """Cash, positions and equity of an account at the end of a slice; cash + positions at mark = equity."""

    account_id: Id
    """The account."""
    currency: Currency
    """The account's currency."""
    cash: Money
    """Cash, in the currency."""
    equity: Money
    """Cash plus positions at mark."""
    deposits: Money
    """Money put in so far."""
    realised_pnl: Money
    """Profit of closed quantities before commission."""
    unrealised_pnl: Money
    """Profit of open positions at mark."""
    commission: Cost
    """Commission charged so far."""
    interest: Money = 0.0
    """Interest received so far less interest and borrow fees paid; below 0 where more was paid."""
    dividends: Money = 0.0
    """Dividends received so far less those paid on shorts.

    equity = deposits + realised + unrealised - commission + interest + dividends.
    """
    fills: int = Field(ge=0, lt=2**63)
    """Fills applied so far."""
    positions: tuple[Position, ...] = Field(fail_fast=True)
    """Open positions, by instrument."""
    ts_event: Nanoseconds
    """The slice, ns UTC."""
