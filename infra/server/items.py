"""Records of the log as the API shows them: the message's own fields, its time, its id and its place."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from infra.server.history import Seen
from infra.server.models import Answer
from streams.record import rfc3339


class Item(Answer):
    """A record of the log."""

    id: str
    """Message id: what `finagent trace` and GET /trace/{id} take."""
    time: str
    """When it happened."""
    topic: str
    partition: int
    offset: int
    run_id: str
    account_id: str
    instrument_id: str


class SignalItem(Item):
    """What a model thinks of an instrument."""

    strategy_id: str
    signal: Literal["BUY", "SELL", "HOLD"]
    score: float
    confidence: float
    target_weight: float | None
    target_quantity: float | None
    price: float
    model: str


class Terms(Item):
    """What is traded."""

    strategy_id: str
    side: Literal["BUY", "SELL"]
    quantity: float


class OrderItem(Terms):
    """An order, and what the venue has made of it so far."""

    order_id: str
    proposal_id: str
    signal_id: str
    order_type: Literal["MARKET", "LIMIT", "STOP", "STOP_LIMIT"]
    limit_price: float | None
    stop_price: float | None
    time_in_force: Literal["DAY", "GTC"]
    reference_price: float
    currency: str
    status: Literal["submitted", "accepted", "partially_filled", "filled", "canceled", "rejected", "expired"]
    filled_quantity: float
    status_reason: str


class ReportItem(Terms):
    """What the venue did with an order."""

    report: Literal["OrderAccepted", "OrderRejected", "OrderCanceled", "OrderExpired"]
    order_id: str
    reason: str


class FillItem(Terms):
    """A trade; quantity is this fill's."""

    order_id: str
    fill_id: str
    price: float
    reference_price: float
    commission: float
    spread_cost: float
    impact_cost: float
    cumulative_quantity: float
    leaves_quantity: float
    currency: str
    multiplier: float
    data_id: str
    """The market-data row that it matched on."""
    synthetic: bool
    """True: that row was generated, not observed."""


class DenialItem(Terms):
    """Our own risk pool said no."""

    proposal_id: str
    code: str
    reason: str
    limit: float
    value: float


ItemT = TypeVar("ItemT", bound=Item)


def item_of(seen: Seen[Any], model: type[ItemT], **more: Any) -> ItemT:
    """Return a record as the API shows it; more: fields that the message has not."""
    message = seen.message
    values = {name: getattr(message, name) for name in model.model_fields if hasattr(message, name)}
    place = {"topic": seen.topic, "partition": seen.place.partition, "offset": seen.place.offset}
    return model(**{**values, **place, "id": seen.id, "time": rfc3339(message.ts_event), **more})
