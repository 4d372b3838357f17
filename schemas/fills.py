"""Execution reports: what the venue did with an order."""

from __future__ import annotations

from pydantic import Field

from schemas.message import Cost, Currency, Id, Nanoseconds, Price
from schemas.orders import OrderTerms


class OrderReport(OrderTerms):
    """What every execution report carries; quantity is the order's, or the fill's."""

    order_id: Id
    """The order."""
    ts_event: Nanoseconds
    """When it happened at the venue, ns UTC."""


class OrderAccepted(OrderReport):
    """The venue works the order."""


class OrderRejected(OrderReport):
    """The venue said no."""

    reason: str
    """Why."""


class OrderFilled(OrderReport):
    """The venue traded; quantity is this fill's."""

    fill_id: Id
    """Names the fill."""
    price: Price
    """Price paid or received per unit, half spread and impact included."""
    reference_price: Price
    """The datum's price before spread and impact."""
    commission: Cost
    """Charged on top of price x quantity x multiplier."""
    spread_cost: Cost
    """Half spread paid, in the currency; already inside price."""
    impact_cost: Cost
    """Market impact paid, in the currency; already inside price."""
    cumulative_quantity: float = Field(gt=0)
    """Units filled so far, this fill included."""
    leaves_quantity: float = Field(ge=0)
    """Units still open; 0 ends the order."""
    currency: Currency
    """The account's currency."""
    multiplier: float = Field(gt=0)
    """Currency value of one unit at price 1."""
    data_id: Id
    """The market-data row that it matched on."""
    synthetic: bool
    """True where that row was generated, not observed."""


class OrderCanceled(OrderReport):
    """The venue withdrew the rest of the order; quantity is what was open."""

    reason: str
    """Why."""


class OrderExpired(OrderReport):
    """The order's time in force ended; quantity is what was open."""
