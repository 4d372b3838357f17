"""SMA cross: hold while the fast simple moving average lies above the slow one."""

from __future__ import annotations

from fractions import Fraction
from math import fsum
from typing import Self

from pydantic import Field, model_validator

from agents.alpha.opinion import Closes, Opinion, confidence, last
from agents.parameters import Parameters
from schemas.columns import Float64

_NEAR = 1e-12
"""Relative distance of two averages below which rounding could decide which one is larger."""


class SmaCrossParameters(Parameters):
    """Parameters of the SMA cross."""

    fast: int = Field(default=10, ge=1)
    """Closes in the fast average."""
    slow: int = Field(default=30, ge=2)
    """Closes in the slow average."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError(f"fast {self.fast} must be below slow {self.slow}")
        return self


def history(parameters: SmaCrossParameters, lookback: int) -> int:
    """Return the closes that a decision needs: the slow window, whatever the lookback."""
    return parameters.slow


def decide(parameters: SmaCrossParameters, closes: Closes, lookback: int) -> dict[str, Opinion]:
    """BUY while the mean of the last fast closes is greater than that of the last slow closes, else SELL.

    Equal averages are a SELL. The score is fast / slow - 1, the threshold of its confidence 0: certain of any
    difference, 0 without one. Which average is greater is decided without rounding. Source: Brock, Lakonishok and
    LeBaron (1992), with a band of 0.
    """
    return {name: _opinion(last(closes, name, parameters.slow), parameters.fast) for name in closes}


def _opinion(window: Float64, fast: int) -> Opinion:
    values = window.tolist()
    score = _mean(values[-fast:]) / _mean(values) - 1
    if abs(score) < _NEAR:
        score = float(_exact_mean(values[-fast:]) / _exact_mean(values) - 1)
    return Opinion("BUY" if score > 0 else "SELL", score, confidence(score, 0.0))


def _mean(values: list[float]) -> float:
    return fsum(values) / len(values)


def _exact_mean(values: list[float]) -> Fraction:
    return sum(map(Fraction, values), Fraction()) / len(values)
