"""Mean reversion: buy what lies far below its recent mean, leave it when it is back."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from agents.alpha.opinion import Closes, Opinion, confidence, last
from agents.parameters import Parameters
from schemas.columns import Float64
from schemas.signals import Direction
from streams.errors import ConfigError


class MeanReversionParameters(Parameters):
    """Parameters of mean reversion."""

    entry_z: float = Field(default=1.0, ge=0)
    """BUY below minus this many standard deviations."""
    exit_z: float = 0.0
    """SELL above this many standard deviations."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.exit_z < -self.entry_z:
            raise ValueError(f"exit_z {self.exit_z} lies below the entry at {-self.entry_z}")
        return self


def history(parameters: MeanReversionParameters, lookback: int) -> int:
    """Return the closes that a decision needs; raise ConfigError for a lookback without a standard deviation."""
    if lookback < 2:
        raise ConfigError(f"lookback_period = {lookback}: mean_reversion needs at least 2 closes")
    return lookback


def decide(parameters: MeanReversionParameters, closes: Closes, lookback: int) -> dict[str, Opinion]:
    """Score the last close by its distance from the lookback's mean in sample standard deviations (ddof 1).

    The lookback includes the last close. A window without any movement scores 0. The confidence is
    confidence(score, entry_z).
    """
    needed = history(parameters, lookback)
    scores = {name: _z(last(closes, name, needed)) for name in closes}
    return {name: Opinion(_signal(z, parameters), z, confidence(z, parameters.entry_z)) for name, z in scores.items()}


def _z(window: Float64) -> float:
    if np.ptp(window) == 0:
        return 0.0
    return float((window[-1] - window.mean()) / window.std(ddof=1))


def _signal(z: float, parameters: MeanReversionParameters) -> Direction:
    if z < -parameters.entry_z:
        return "BUY"
    return "SELL" if z > parameters.exit_z else "HOLD"
