"""Pairs: trade the spread of two instruments back to its mean."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from agents.alpha.opinion import Closes, Opinion, confidence, last
from agents.parameters import Parameters
from schemas.columns import Float64
from streams.errors import ConfigError

_STILL = 1e-12
"""Standard deviation in log prices up to which nothing moved."""


class PairsParameters(Parameters):
    """Parameters of pairs."""

    entry_z: float = Field(default=2.0, gt=0)
    """Enter beyond this many standard deviations of the spread."""
    exit_z: float = Field(default=0.5, ge=0)
    """Leave inside this many standard deviations."""
    hedge: Literal["ols", "one"] = "ols"
    """Hedge ratio: the regression slope over the lookback, or 1."""
    gross: float = Field(default=1.0, gt=0)
    """Sum of both legs' |weight|, as a share of equity."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.exit_z >= self.entry_z:
            raise ValueError(f"exit_z {self.exit_z} must be below entry_z {self.entry_z}")
        return self


def history(parameters: PairsParameters, lookback: int) -> int:
    """Return the closes that a decision needs: the lookback and the close before it."""
    if lookback < 3:
        raise ConfigError(f"lookback_period = {lookback}: pairs needs at least 3 closes")
    return lookback + 1


def decide(parameters: PairsParameters, closes: Closes, lookback: int) -> dict[str, Opinion]:
    """Compare the last spread, log(first) - hedge x log(second), with its mean over the lookback.

    first and second are in the order of instrument_id; z is the distance in sample standard deviations (ddof 1), the
    lookback includes the last close. Beyond entry_z the rich leg is shorted and the cheap one bought, at weights 1 to
    hedge that sum to gross. Both are left (weight 0) inside exit_z, where z changed its sign since the close before,
    and where the hedge ratio is not positive, as such a pair has no two sides. In between: HOLD. Each leg's score is
    its own z, negative where cheap; the confidence is confidence(z, entry_z). Source: Gatev, Goetzmann and
    Rouwenhorst (2006); the hedge ratio after Engle and Granger (1987).
    """
    if len(closes) != 2:
        raise ConfigError(f"pairs trades exactly 2 instruments, got {len(closes)}: {', '.join(sorted(closes))}")
    first, second = sorted(closes)
    needed = history(parameters, lookback)
    a, b = (np.log(last(closes, name, needed)) for name in (first, second))
    before, _ = _z(a[:-1], b[:-1], parameters.hedge)
    z, ratio = _z(a[1:], b[1:], parameters.hedge)
    one, other = _legs(parameters, z, before, ratio)
    return {first: one, second: other}


def _z(a: Float64, b: Float64, hedge: str) -> tuple[float, float]:
    """Return the last spread's z and the hedge ratio; both 0 where there is nothing to regress on."""
    ratio = _slope(a, b) if hedge == "ols" else 1.0
    spread = a - ratio * b
    deviation = spread.std(ddof=1)
    return (float((spread[-1] - spread.mean()) / deviation) if deviation > _STILL else 0.0), ratio


def _slope(a: Float64, b: Float64) -> float:
    if b.std() <= _STILL:
        return 0.0
    away = b - b.mean()
    return float(away @ (a - a.mean()) / (away @ away))


def _legs(parameters: PairsParameters, z: float, before: float, ratio: float) -> tuple[Opinion, Opinion]:
    sure = confidence(z, parameters.entry_z)
    if ratio <= 0 or abs(z) <= parameters.exit_z or (z * before < 0 and abs(z) <= parameters.entry_z):
        return Opinion("SELL", z, sure, 0.0), Opinion("SELL", -z, sure, 0.0)
    if abs(z) <= parameters.entry_z:
        return Opinion("HOLD", z, sure), Opinion("HOLD", -z, sure)
    side = -1.0 if z > 0 else 1.0
    one, other = (side * parameters.gross * share / (1 + ratio) for share in (1.0, -ratio))
    return _leg(z, sure, one), _leg(-z, sure, other)


def _leg(z: float, sure: float, weight: float) -> Opinion:
    return Opinion("BUY" if weight > 0 else "SELL", z, sure, weight)
