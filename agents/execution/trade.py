"""One trade of the paper venue: price, costs and report."""

from __future__ import annotations

from dataclasses import dataclass

from agents.execution.book import Book, Working, settle
from agents.quantities import is_dust
from agents.transaction_cost.model import Charge, CostModel
from schemas.fills import OrderFilled
from schemas.orders import SubmitOrder
from streams.ids import derive_id


@dataclass(frozen=True)
class Match:
    """Where an order meets a market-data row."""

    working: Working
    quantity: float
    price: float
    """The datum's price, or the order's stop or limit where the bar reached it."""
    ts: int
    """When, ns UTC."""
    data_id: str
    synthetic: bool
    volume: float | None
    volatility: float


def fill(book: Book, match: Match, cost: CostModel) -> OrderFilled:
    """Trade, and move the order along."""
    working, order = match.working, match.working.order
    charge = _charge(match, cost)
    leaves = working.leaves - match.quantity
    working.leaves = 0.0 if is_dust(leaves, order.quantity) else leaves
    working.cumulative = order.quantity - working.leaves
    report = OrderFilled(
        order_id=order.order_id,
        run_id=order.run_id,
        strategy_id=order.strategy_id,
        account_id=order.account_id,
        instrument_id=order.instrument_id,
        side=order.side,
        quantity=match.quantity,
        ts_event=match.ts,
        fill_id=derive_id(order.order_id, "execution", working.fills),
        price=charge.price,
        reference_price=match.price,
        commission=charge.commission,
        spread_cost=charge.spread_cost,
        impact_cost=charge.impact_cost,
        cumulative_quantity=working.cumulative,
        leaves_quantity=working.leaves,
        currency=order.currency,
        multiplier=order.multiplier,
        data_id=match.data_id,
        synthetic=match.synthetic,
    )
    working.fills += 1
    settle(book, working, report)
    return report


def reaches(order: SubmitOrder, price: float) -> bool:
    """Return whether an order trades at a price: always at the market, never beyond a limit."""
    if order.limit_price is None:
        return True
    return price <= order.limit_price if order.side == "BUY" else price >= order.limit_price


def triggers(order: SubmitOrder, price: float) -> bool:
    """Return whether a price is at the stop or through it."""
    if order.stop_price is None:
        return True
    return price >= order.stop_price if order.side == "BUY" else price <= order.stop_price


def _charge(match: Match, cost: CostModel) -> Charge:
    order = match.working.order
    charge = cost.charge(
        order.side,
        match.quantity,
        match.price,
        volume=match.volume,
        volatility=match.volatility,
        multiplier=order.multiplier,
    )
    if reaches(order, charge.price):
        return charge
    return _at_limit(match, charge, cost)


def _at_limit(match: Match, charge: Charge, cost: CostModel) -> Charge:
    """Keep of spread and impact what fits between the datum's price and the limit."""
    limit, value = match.working.order.limit_price or match.price, match.quantity * match.working.order.multiplier
    extra = abs(limit - match.price) * value
    spread = min(charge.spread_cost, extra)
    return Charge(limit, limit * value * cost.commission_rate, spread, min(charge.impact_cost, extra - spread))
