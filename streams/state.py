"""State that belongs to a key."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class State(BaseModel):
    """What a pool remembers for one key; every field needs a default and must survive JSON unchanged."""

    model_config = ConfigDict(extra="forbid", validate_assignment=False)
