"""Trading rules: what a policy may do, and what its trades cost."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from agents.transaction_cost.model import CostModel
from schemas.columns import Float64


class TradingRules(BaseModel):
    """How target weights become trades, as the portfolio pool and the paper venue make them of an RL run's signals."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    initial_cash: float = Field(default=1_000_000.0, gt=0)
    """What an episode starts with, in the currency."""
    allow_short: bool = False
    """False: weights from 0 to 1; true: from -1 to 1."""
    gross_cap: float = Field(default=0.95, gt=0)
    """Largest sum of |target weight|; actions beyond it are scaled down."""
    max_gross: float = Field(default=1.0, gt=0)
    """The portfolio pool's max_gross: targets and what is set aside for costs stay within it."""
    cash_buffer: float = Field(default=0.02, ge=0, lt=1)
    """Set aside per amount traded, besides commission, as risk.cash_buffer."""
    costs: CostModel = CostModel()
    """Commission, half spread, impact, participation. A market of closes only takes impact_coefficient 0."""
    fill: Literal["next_open", "next_close"] = "next_open"
    """Where a decision at a close is filled. A market of closes only takes next_close."""
    episode_steps: int = Field(default=0, ge=0)
    """Steps of an episode, begun at a random row; 0: from the first row to the last."""
    lot_size: float = Field(default=1.0, gt=0)
    """Smallest quantity step, in units, of every instrument."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.gross_cap > self.max_gross:
            raise ValueError(f"gross_cap {self.gross_cap} lies above max_gross {self.max_gross}")
        return self

    @property
    def headroom(self) -> float:
        """Return what is set aside per amount traded."""
        return self.costs.commission_rate + self.cash_buffer

    def targets(self, actions: Float64) -> Float64:
        """Return target weights of actions, instruments first: (N,) or (N, E).

        Clipped to the bounds, then scaled down together where their sum of |weight| is above gross_cap.
        """
        weights = np.minimum(np.maximum(actions, -1.0 if self.allow_short else 0.0), 1.0)
        gross = np.add.reduce(np.abs(weights) if self.allow_short else weights, axis=0)
        weights *= self.gross_cap / np.maximum(gross, self.gross_cap)
        return weights


def drifted(weights: Float64, growth: Float64) -> Float64:
    """Return what weights of equity have become when prices grew by these factors; (N,) or (N, E).

    Where no equity is left they are huge: an observation cuts them.
    """
    grown = weights * growth
    worth = np.add.reduce(grown - weights, axis=0)
    worth += 1
    grown /= np.maximum(worth, 1e-9)
    return grown
