"""What money costs over time: margin interest, borrow fees on shorts, interest on cash."""

from __future__ import annotations

from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field

YEAR_NS = 365 * 86_400 * 10**9
"""ACT/365: elapsed calendar time over a year of 365 days."""


class FinancingModel(BaseModel):
    """Yearly rates, simple interest on ACT/365; all 0 charges nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
    borrow_rate: float = Field(default=0.0, ge=0)
    """Paid on the value of short positions at mark."""
    margin_rate: float = Field(default=0.0, ge=0)
    """Paid on cash below zero."""
    cash_rate: float = Field(default=0.0, ge=0)
    """Received on cash above zero; the proceeds of shorts are part of cash."""

    @cached_property
    def charges(self) -> bool:
        """Return whether any rate is not 0."""
        return self != NO_FINANCING

    def interest(self, cash: float, short_value: float, elapsed_ns: int) -> float:
        """Return what an account receives over a time; below 0 where it pays.

        short_value: sum of |value at mark| over short positions, >= 0.
        """
        earned = self.cash_rate * cash if cash > 0 else self.margin_rate * cash
        return (earned - self.borrow_rate * short_value) * (elapsed_ns / YEAR_NS)


NO_FINANCING = FinancingModel()
"""Charges nothing."""


class Accrual(BaseModel):
    """How far interest has been charged."""

    model_config = ConfigDict(extra="forbid")
    ts: int | None = None
    """Charged up to here, ns UTC; None before the account's first slice."""

    def elapse(self, ts: int) -> int:
        """Move on to a time and return the ns since the last one; 0 at first, and where time does not advance."""
        elapsed = 0 if self.ts is None else max(0, ts - self.ts)
        self.ts = ts if self.ts is None else max(ts, self.ts)
        return elapsed
