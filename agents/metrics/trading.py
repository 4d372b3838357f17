"""What the trading itself shows: round trips, turnover, exposure and costs, in the account's currency."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from schemas.fills import OrderFilled
from schemas.positions import Position, PositionsUpdated
from streams.errors import MissingData


def win_rate(trips: Sequence[float]) -> float | None:
    """Return the share of round trips with a profit after commission; None without any."""
    return sum(profit > 0 for profit in trips) / len(trips) if trips else None


def profit_factor(trips: Sequence[float]) -> float | None:
    """Return profits over losses of round trips after commission; None without a loss."""
    losses = -sum(profit for profit in trips if profit < 0)
    return sum(profit for profit in trips if profit > 0) / losses if losses else None


def turnover(fills: Iterable[OrderFilled], mean_equity: float, years: float) -> float | None:
    """Return half the traded value over mean equity, per year: 1 is everything sold and bought once a year.

    The value of a fill is quantity x price x multiplier. None for no time and for a mean equity <= 0.
    """
    traded = sum(fill.quantity * fill.price * fill.multiplier for fill in fills)
    return traded / 2 / mean_equity / years if mean_equity > 0 and years > 0 else None


def cost_drag(fills: Iterable[OrderFilled], mean_equity: float, years: float) -> float | None:
    """Return commission, half spread and impact paid over mean equity, per year.

    None for no time and for a mean equity <= 0.
    """
    paid = sum(fill.commission + fill.spread_cost + fill.impact_cost for fill in fills)
    return paid / mean_equity / years if mean_equity > 0 and years > 0 else None


def exposure(positions: Sequence[PositionsUpdated], fills: Iterable[OrderFilled]) -> float | None:
    """Return the mean over slices of gross exposure, sum of |quantity| x mark x multiplier, over equity.

    Multipliers are those of the fills. None without slices and where equity of one is <= 0.
    Raises MissingData for a position in an instrument that no fill names.
    """
    multipliers = {fill.instrument_id: fill.multiplier for fill in fills}
    if not positions or any(state.equity <= 0 for state in positions):
        return None
    shares = [sum(_value(each, multipliers) for each in state.positions) / state.equity for state in positions]
    return sum(shares) / len(shares)


def _value(position: Position, multipliers: dict[str, float]) -> float:
    if position.instrument_id not in multipliers:
        raise MissingData(f"no fill of {position.instrument_id} gives its multiplier, which its exposure needs")
    return abs(position.quantity) * position.mark * multipliers[position.instrument_id]
