"""Equal weight: the same share of equity in every instrument, restored at each rebalance."""

from __future__ import annotations

from pydantic import Field

from agents.alpha.opinion import Closes, Opinion, last
from agents.parameters import Parameters


class EqualWeightParameters(Parameters):
    """Parameters of equal weight."""

    gross: float = Field(default=1.0, gt=0)
    """Sum of the weights, as a share of equity; what is missing to 1 stays in cash."""


def history(parameters: EqualWeightParameters, lookback: int) -> int:
    """Return the closes that a decision needs: a price, whatever the lookback."""
    return 1


def decide(parameters: EqualWeightParameters, closes: Closes, lookback: int) -> dict[str, Opinion]:
    """BUY each of the n instruments at a weight of gross / n; the score is that weight, the confidence 1.

    Weights within rebalance_band of their target are left alone; with rebalance_band 0 each period restores them all.
    Source: DeMiguel, Garlappi and Uppal (2009).
    """
    for name in closes:
        last(closes, name, 1)
    weight = parameters.gross / len(closes)
    return {name: Opinion("BUY", weight, 1.0, weight) for name in closes}
