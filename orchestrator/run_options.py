"""How a strategy of a file is run."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RunOptions(BaseModel):
    """How a strategy is run; written beside its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    initial_cash: float | None = Field(default=None, gt=0)
    """Deposited into the run's account; without it sandbox.initial_capital."""
    account_id: str = ""
    """A shared account, with --start; empty: one of the run's own."""
    history_end: str = ""
    """Last session of the history that is looked at, ISO date; empty: the last there is."""
    check_history: bool = True
    """False, with --start: start without looking at history."""
