"""Round trips: a position from zero and back to zero."""

from __future__ import annotations

from collections.abc import Iterable

from agents.orders import signed
from agents.portfolio.holding import Holding, trade
from schemas.fills import OrderFilled


def round_trips(fills: Iterable[OrderFilled]) -> list[float]:
    """Return the profit of each closed round trip after commission, in the currency, in order of closing.

    A trip belongs to one run and instrument, at average cost; it ends where the position comes to zero or crosses it.
    The commission of a fill that crosses zero is split by the units closed and opened. Fills come in time order.
    """
    trips: dict[tuple[str, str], tuple[Holding, float]] = {}
    closed: list[float] = []
    for fill in fills:
        key = (fill.run_id, fill.instrument_id)
        holding, profit = trips.get(key, (Holding(multiplier=fill.multiplier), 0.0))
        before, change = holding.quantity, signed(fill.side, fill.quantity)
        profit += trade(holding, change, fill.price)
        after = holding.quantity
        opened = abs(after / change) if before * after < 0 else 0.0
        profit -= fill.commission * (1 - opened)
        if after == 0 or opened:
            closed.append(profit)
            profit = -fill.commission * opened
        trips[key] = (holding, profit)
    return closed
