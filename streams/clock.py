"""Clocks: the wall's, and one that only moves when told."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time in ns UTC."""

    def now(self) -> int:
        """Return ns since 1970-01-01 UTC."""
        ...


class WallClock:
    """The machine's clock."""

    def now(self) -> int:
        """Return ns since 1970-01-01 UTC."""
        return time.time_ns()


class ManualClock:
    """A clock that stands where it was set; it never goes back."""

    def __init__(self, start: int = 0) -> None:
        self._now = start

    def now(self) -> int:
        """Return ns since 1970-01-01 UTC."""
        return self._now

    def advance_to(self, ts: int) -> None:
        """Move on to ts; an earlier ts leaves the clock where it is."""
        self._now = max(self._now, ts)
