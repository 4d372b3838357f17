"""Orders: proposals from portfolio construction and what risk makes of them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.message import Currency, Id, InstrumentId, Message, Nanoseconds, Price, Quantity

Side = Literal["BUY", "SELL"]
OrderType = Literal["MARKET", "LIMIT", "STOP", "STOP_LIMIT"]
"""STOP is a MARKET order, STOP_LIMIT a LIMIT order, from the moment that the market reaches stop_price."""
TimeInForce = Literal["DAY", "GTC"]


class OrderTerms(Message):
    """What a proposal, an order and a report on it have in common."""

    run_id: Id
    """The run that wants it."""
    strategy_id: Id
    """The run's strategy."""
    account_id: Id
    """The account that pays."""
    instrument_id: InstrumentId
    """SYMBOL.VENUE."""
    side: Side
    """BUY or SELL."""
    quantity: Quantity
    """Units, a multiple of the lot size."""


class OrderProposed(OrderTerms):
    """Portfolio construction wants to trade; risk decides."""

    proposal_id: Id
    """Names the proposal."""
    signal_id: Id
    """The signal that led to it."""
    order_type: OrderType = "MARKET"
    """MARKET, LIMIT, STOP or STOP_LIMIT."""
    limit_price: float | None = Field(default=None, gt=0)
    """Worst price of a LIMIT or STOP_LIMIT order, a multiple of the tick size."""
    stop_price: float | None = Field(default=None, gt=0)
    """Price that triggers a STOP or STOP_LIMIT order: at or above it for a purchase, at or below it for a sale."""
    time_in_force: TimeInForce = "DAY"
    """DAY: until the session ends; GTC: until filled or canceled."""
    reference_price: Price
    """The mark that the size was computed from."""
    ts_event: Nanoseconds
    """The slice it was decided on, ns UTC."""

    @model_validator(mode="after")
    def _prices(self) -> Self:
        if self.order_type.endswith("LIMIT") != (self.limit_price is not None):
            raise ValueError(f"a LIMIT order has a limit_price, a MARKET order has none, not {self.order_type}")
        if self.order_type.startswith("STOP") != (self.stop_price is not None):
            raise ValueError(f"a STOP order has a stop_price, a MARKET or LIMIT order none, not {self.order_type}")
        return self


class SubmitOrder(OrderProposed):
    """Risk sends an order to the venue; the only way an order comes to be."""

    order_id: Id
    """Names the order, at the venue too."""
    currency: Currency
    """The account's currency."""
    multiplier: float = Field(gt=0)
    """Currency value of one unit at price 1."""
    calendar: Id
    """The instrument's trading calendar: decides when a DAY order expires."""
    lot_size: float = Field(default=1.0, gt=0)
    """The instrument's smallest quantity step: a part of an order of whole lots is of whole lots."""


class CancelOrder(Message):
    """Risk withdraws an order."""

    order_id: Id
    """The order."""
    run_id: Id
    """Its run."""
    account_id: Id
    """Its account."""
    instrument_id: InstrumentId
    """SYMBOL.VENUE."""
    reason: str
    """Why."""
    ts_event: Nanoseconds
    """The slice it was decided on, ns UTC."""
