"""Buy and hold: the benchmark."""

from __future__ import annotations

from agents.alpha.opinion import Closes, Opinion, last
from agents.parameters import Parameters


class BuyAndHoldParameters(Parameters):
    """Buy and hold has no parameters of its own."""


def history(parameters: BuyAndHoldParameters, lookback: int) -> int:
    """Return the closes that a decision needs: a price, whatever the lookback."""
    return 1


def decide(parameters: BuyAndHoldParameters, closes: Closes, lookback: int) -> dict[str, Opinion]:
    """Always BUY, with score 1 and confidence 1."""
    for name in closes:
        last(closes, name, history(parameters, lookback))
    return {name: Opinion("BUY", 1.0, 1.0) for name in closes}
