"""A holding at average cost."""

from __future__ import annotations

from math import copysign

from pydantic import BaseModel, ConfigDict

from agents.quantities import is_dust


class Holding(BaseModel):
    """Units of one instrument and what they cost on average."""

    model_config = ConfigDict(extra="forbid")
    quantity: float = 0.0
    """Units, negative where short; 0 is closed."""
    average_price: float = 0.0
    """Average entry price per unit."""
    multiplier: float = 1.0
    """Currency value of one unit at price 1."""


def trade(holding: Holding, change: float, price: float) -> float:
    """Change a holding by signed units at a price; return the profit realised on what it closed, before commission.

    A change that crosses zero closes the whole and opens the rest at the price.
    """
    before, after = holding.quantity, holding.quantity + change
    if is_dust(after, abs(change)):
        after = 0.0
    closed = copysign(min(abs(before), abs(change)), before) if before * change < 0 else 0.0
    realised = closed * (price - holding.average_price) * holding.multiplier
    if before * after < 0:
        holding.average_price = price
    elif not closed and after:
        holding.average_price += (price - holding.average_price) * change / after
    holding.quantity = after
    return realised
