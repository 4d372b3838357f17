"""Round trips: a position from zero and back to zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agents.orders import signed
from agents.portfolio.holding import Holding, trade
from schemas.fills import OrderFilled


@dataclass(frozen=True)
class Trip:
    """A closed round trip of one run in one instrument."""

    instrument_id: str
    side: str
    """LONG or SHORT."""
    opened: int
    """Time of its first fill, ns UTC."""
    closed: int
    """Time of its last fill, ns UTC."""
    quantity: float
    """Units bought, or sold short, in all."""
    entry_price: float
    """Mean price of those units."""
    exit_price: float
    """Mean price at which they were closed."""
    profit: float
    """After commission, in the currency."""
    cost: float
    """Value of the units at entry, in the currency."""

    @property
    def share(self) -> float:
        """Return the profit as a share of the value at entry."""
        return self.profit / self.cost


@dataclass
class _Open:
    holding: Holding
    opened: int = 0
    profit: float = 0.0
    entered: float = 0.0
    entry_value: float = 0.0
    exit_value: float = 0.0


def round_trips(fills: Iterable[OrderFilled]) -> list[float]:
    """Return the profit of each closed round trip after commission, in the currency, in order of closing."""
    return [trip.profit for trip in closed_trips(fills)]


def closed_trips(fills: Iterable[OrderFilled]) -> list[Trip]:
    """Return each closed round trip, in order of closing.

    A trip belongs to one run and instrument, at average cost; it ends where the position comes to zero or crosses it.
    The commission of a fill that crosses zero is split by the units closed and opened. Fills come in time order.
    """
    going: dict[tuple[str, str], _Open] = {}
    closed: list[Trip] = []
    for fill in fills:
        key = (fill.run_id, fill.instrument_id)
        trip = going.get(key) or _Open(Holding(multiplier=fill.multiplier), fill.ts_event)
        before, change = trip.holding.quantity, signed(fill.side, fill.quantity)
        trip.profit += trade(trip.holding, change, fill.price)
        after = trip.holding.quantity
        share = _opened(before, change, after)
        crossed = before * after < 0
        trip.profit -= fill.commission * (1 - share if crossed else 1)
        entered = abs(change) * share
        if not crossed:
            trip.entered += entered
            trip.entry_value += entered * fill.price
        trip.exit_value += (abs(change) - entered) * fill.price
        going[key] = trip
        if after == 0 or crossed:
            closed.append(_closed(trip, fill, before))
            del going[key]
        if crossed:
            commission = fill.commission * share
            going[key] = _Open(trip.holding, fill.ts_event, -commission, entered, entered * fill.price)
    return closed


def _opened(before: float, change: float, after: float) -> float:
    """Return the share of a fill's units that opened rather than closed."""
    if before * change >= 0:
        return 1.0
    return abs(after / change) if before * after < 0 else 0.0


def _closed(trip: _Open, fill: OrderFilled, before: float) -> Trip:
    side = "LONG" if before > 0 else "SHORT"
    entry, cost = trip.entry_value / trip.entered, trip.entry_value * fill.multiplier
    left = trip.exit_value / trip.entered
    return Trip(fill.instrument_id, side, trip.opened, fill.ts_event, trip.entered, entry, left, trip.profit, cost)
