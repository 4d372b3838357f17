"""EMA cross: hold while the fast exponential moving average lies above the slow one."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from agents.alpha.opinion import Closes, Opinion, confidence, last
from agents.parameters import Parameters
from schemas.columns import Float64
from streams.errors import MissingData
from streams.state import State


class EmaCrossParameters(Parameters):
    """Parameters of the EMA cross."""

    fast: int = Field(default=50, ge=1)
    """Span of the fast average, in prices."""
    slow: int = Field(default=200, ge=2)
    """Span of the slow average, in prices."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError(f"fast {self.fast} must be below slow {self.slow}")
        return self


class EmaState(State):
    """Both averages of one instrument; the first price starts them."""

    fast: float = 0.0
    slow: float = 0.0
    count: int = 0
    """Prices seen so far."""


def advance_ema(state: EmaState, prices: Float64, fast: int, slow: int) -> None:
    """Move both averages over a block of prices, shape (n,): ema += 2 / (span + 1) x (price - ema).

    The sum runs price by price, so that cutting blocks differently gives the same bits.
    """
    values = prices.tolist()
    if not values:
        return
    quick, lazy = (state.fast, state.slow) if state.count else (values[0], values[0])
    a, b = 2 / (fast + 1), 2 / (slow + 1)
    for price in values:
        quick += a * (price - quick)
        lazy += b * (price - lazy)
    state.fast, state.slow, state.count = quick, lazy, state.count + len(values)


def opinion_of(state: EmaState) -> Opinion:
    """Return BUY while fast > slow, else SELL; the score is fast / slow - 1, the threshold of its confidence 0."""
    if not state.count:
        raise MissingData("an EMA has 0 prices, 1 is needed")
    score = state.fast / state.slow - 1
    return Opinion("BUY" if state.fast > state.slow else "SELL", score, confidence(score, 0.0))


def history(parameters: EmaCrossParameters, lookback: int) -> int:
    """Return the closes that a decision needs: the slow span, or the lookback where it is longer."""
    return max(parameters.slow, lookback)


def decide(parameters: EmaCrossParameters, closes: Closes, lookback: int) -> dict[str, Opinion]:
    """Run both averages over exactly the last max(slow, lookback) closes, started at the first of them.

    The start keeps a weight of (1 - 2 / (slow + 1)) ** (n - 1) in the slow average: 13 % at n = slow; a longer
    lookback lessens it.
    """
    needed = history(parameters, lookback)
    return {name: _run(last(closes, name, needed), parameters) for name in closes}


def _run(window: Float64, parameters: EmaCrossParameters) -> Opinion:
    state = EmaState()
    advance_ema(state, window, parameters.fast, parameters.slow)
    return opinion_of(state)
