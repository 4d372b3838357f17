"""Signals: what alpha pools think of an instrument."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.message import Id, InstrumentId, Message, Nanoseconds

Direction = Literal["BUY", "SELL", "HOLD"]
"""BUY: hold it; SELL: leave it, or go short where the run allows; HOLD: keep what is there."""


class Signal(Message):
    """One opinion on one instrument for one run."""

    run_id: Id
    """The run that it is for."""
    strategy_id: Id
    """The run's strategy."""
    account_id: Id
    """The run's account."""
    instrument_id: InstrumentId
    """SYMBOL.VENUE."""
    signal: Direction
    """What to do."""
    score: float
    """The model's own figure, for example the return over the lookback."""
    confidence: float = Field(ge=0, le=1)
    """How far the score lies beyond its threshold; the model's docstring has the definition."""
    target_weight: float | None = None
    """Where set: the share of equity to hold, signed, instead of the strategy's position_size."""
    target_quantity: float | None = None
    """Where set: the units to hold, signed; overrides target_weight."""
    price: float = Field(gt=0)
    """Last price that the model saw."""
    model: Id
    """The model that decided."""
    ts_event: Nanoseconds
    """The slice it was decided on, ns UTC."""
