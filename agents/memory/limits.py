"""How much is kept in memory, and for how long."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class MemoryLimits(BaseModel):
    """Bounds of what the store keeps; the log itself keeps more."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
    ttl_s: float = Field(default=604_800.0, gt=0)
    """Events recorded longer ago are forgotten, in s."""
    max_events: int = Field(default=10_000, ge=1)
    """Newest events kept of each topic."""
