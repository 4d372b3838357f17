"""Corporate actions: what turns yesterday's raw prices and units into today's."""

from __future__ import annotations

import datetime as dt
from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.message import Id, InstrumentId, Message, Nanoseconds


class CorporateAction(Message):
    """A dividend or a split of one instrument, in the slice of its ex-date before the bars."""

    instrument_id: InstrumentId
    """SYMBOL.VENUE."""
    kind: Literal["dividend", "split"]
    """dividend: cash per unit held; split: new units for old ones."""
    amount: float | None = Field(default=None, gt=0)
    """Dividend per unit as held at the open of the ex-date, in the instrument's currency; null for a split."""
    ratio: float | None = Field(default=None, gt=0)
    """New units for each old one, 4 for a 4:1 split, 0.1 for a reverse one of 1:10; null for a dividend."""
    ex_date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    """First session without the dividend or with the new units, ISO date."""
    ts_event: Nanoseconds
    """Open of that session, ns UTC; after every row of the session before."""
    source: Id
    """Where the row came from."""
    synthetic: bool
    """True where the row was generated, not observed."""
    sequence: int = Field(default=0, ge=0, lt=2**63)
    """Order among actions of one instrument and ts_event: the amount of a dividend is per unit as held by then."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        dt.date.fromisoformat(self.ex_date)
        if (self.kind == "split") != (self.ratio is not None) or (self.kind == "dividend") != (self.amount is not None):
            raise ValueError(f"a dividend has an amount, a split a ratio, each nothing else; this is a {self.kind}")
        return self
