"""An account's equity over time, bounded."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Curve:
    """Times (ns UTC), equity and cash (currency) after each slice; of more than 2 x limit every second one is kept."""

    limit: int
    times: array[int] = field(default_factory=lambda: array("q"))
    equity: array[float] = field(default_factory=lambda: array("d"))
    cash: array[float] = field(default_factory=lambda: array("d"))

    def add(self, ts: int, equity: float, cash: float) -> None:
        """Add a point; one that is not later than the last is a repetition."""
        if self.times and ts <= self.times[-1]:
            return
        self.times.append(ts)
        self.equity.append(equity)
        self.cash.append(cash)
        if len(self.times) > 2 * self.limit:
            # The first point stays; the newest is of an even index.
            del self.times[1::2], self.equity[1::2], self.cash[1::2]

    def thinned(self, points: int) -> list[tuple[int, float, float]]:
        """Return at most so many (time, equity, cash), evenly spread, the first and the last among them."""
        count = len(self.times)
        places = range(count) if count <= points else np.linspace(0, count - 1, max(points, 2)).round().astype(int)
        return [(self.times[i], self.equity[i], self.cash[i]) for i in places]
