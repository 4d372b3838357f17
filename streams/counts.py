"""What a task has done, for metrics: plain numbers, since the task loop adds to them for each piece of work."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Upper bounds of the buckets of durations, in s."""
RECORDS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
"""Upper bounds of the buckets of batch sizes."""


class Histogram:
    """Counts values by bucket; a value on a bound belongs below it."""

    __slots__ = ("bounds", "buckets", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.total += value

    def as_dict(self) -> dict[str, Any]:
        """Return bounds, counts per bucket (the last one beyond all bounds) and the sum of the values."""
        return {"bounds": list(self.bounds), "buckets": list(self.buckets), "sum": self.total}


@dataclass
class Counts:
    """What a task has done in this process; a record counts once the transaction that handled it is committed."""

    messages: dict[str, int] = field(default_factory=dict)
    """Records handled, by topic."""
    rows: dict[str, int] = field(default_factory=dict)
    """Rows in them, by topic: a block has many."""
    dead_letters: dict[str, int] = field(default_factory=dict)
    """Dead letters written, by source topic."""
    errors: dict[str, int] = field(default_factory=dict)
    """Handlers that raised, by the topic that is blamed."""
    handling: dict[str, Histogram] = field(default_factory=dict)
    """Seconds of a piece of work, by stage: the phase of a slice, else the topic of its first record."""
    batches: Histogram = field(default_factory=lambda: Histogram(RECORDS))
    """Records that a poll brought, polls without any left out."""
    commits: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    """Seconds of a committed transaction."""
    aborted: int = 0
    """Transactions that failed."""
    starts: int = 0
    """Times that the task took up its work."""

    def handled(self, stage: str, seconds: float) -> None:
        """Count a piece of work."""
        known = self.handling.get(stage)
        if known is None:
            known = self.handling[stage] = Histogram(SECONDS)
        known.add(seconds)

    def committed(self, messages: dict[str, int], rows: dict[str, int], letters: Sequence[str]) -> None:
        """Count what a transaction settled: records and rows by topic, and the source topic of each dead letter."""
        for topic, count in messages.items():
            self.messages[topic] = self.messages.get(topic, 0) + count
        for topic, count in rows.items():
            self.rows[topic] = self.rows.get(topic, 0) + count
        for topic in letters:
            self.dead_letters[topic] = self.dead_letters.get(topic, 0) + 1

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON can carry it."""
        return {
            "messages": dict(self.messages),
            "rows": dict(self.rows),
            "dead_letters": dict(self.dead_letters),
            "errors": dict(self.errors),
            "handling": {stage: histogram.as_dict() for stage, histogram in self.handling.items()},
            "batches": self.batches.as_dict(),
            "commits": self.commits.as_dict(),
            "aborted": self.aborted,
            "starts": self.starts,
        }
