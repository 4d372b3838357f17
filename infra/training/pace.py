"""How fast a training goes, and how long it still takes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from rl.notes import Notes


@dataclass
class Pace:
    """Speeds since the training was begun or resumed."""

    _began: float = field(default_factory=time.monotonic)
    _first: tuple[float, int, int] | None = None
    figures: dict[str, float] = field(default_factory=dict)
    """The last of each that updates told."""

    def hear(self, notes: Notes) -> None:
        """Take in a round."""
        progress = notes.last
        if self._first is None:
            self._first = (notes.share, progress.steps, progress.updates)
        self.figures.update(progress.figures)

    def told(self, notes: Notes) -> Mapping[str, float | None]:
        """Return steps_per_s, updates_per_s and eta_s, the time to the end."""
        share, steps, updates = self._first or (notes.share, notes.last.steps, notes.last.updates)
        seconds = max(time.monotonic() - self._began, 1e-9)
        done = notes.share - share
        return {
            "steps_per_s": (notes.last.steps - steps) / seconds,
            "updates_per_s": (notes.last.updates - updates) / seconds,
            "eta_s": seconds / done * (1 - notes.share) if done > 0 else None,
        }
