"""What a sweep runs: one job for each combination of parameters, or in a walk-forward for each and window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.sweep.job import rows_of, sections
from orchestrator.settings import Settings
from orchestrator.strategy_file import strategy_from_dict
from orchestrator.sweep.space import Changes
from orchestrator.sweep.walk_forward import Lengths, Window, windows
from schemas import RunBacktest
from streams.errors import ConfigError
from streams.record import rfc3339

TOPIC = "topic"


@dataclass(frozen=True)
class SweepPlan:
    """The strategy, its data and the combinations."""

    document: Mapping[str, Any]
    changes: Sequence[Changes]
    source: str
    start: str
    end: str
    fill: str
    initial_cash: float
    settings: Settings

    def __post_init__(self) -> None:
        if self.source == TOPIC:
            raise ConfigError("a sweep reads its data once for each worker: name a provider, a file or synthetic:SEED")
        # One that is refused would be refused by every worker.
        strategy_from_dict(self.document, self.changes[0])

    def jobs(self, sweep_id: str, now: int) -> list[RunBacktest]:
        """Return one job for each combination."""
        return [self._job(sweep_id, now, number, number, self.start, self.end) for number in range(len(self.changes))]

    def windows(self, lengths: Lengths) -> list[Window]:
        """Return the windows of a walk-forward over the data."""
        loaded = strategy_from_dict(self.document, self.changes[0])
        _, slices, _ = rows_of(self.source, tuple(loaded.strategy.symbols), self.start, self.end)
        days = {rfc3339(max(row.ts_event for row in rows))[:10] for rows in slices}
        return windows(sorted(days), lengths)

    def window_jobs(self, sweep_id: str, now: int, found: Sequence[Window]) -> list[RunBacktest]:
        """Return one job for each window and combination, window by window."""
        count = len(self.changes)
        return [
            self._job(sweep_id, now, place * count + number, number, window.train_start, window.test_end)
            for place, window in enumerate(found)
            for number in range(count)
        ]

    def _job(self, sweep_id: str, now: int, number: int, combination: int, start: str, end: str) -> RunBacktest:
        return RunBacktest(
            job_id=f"{sweep_id}.{number}",
            sweep_id=sweep_id,
            number=number,
            document=dict(self.document),
            changes=self.changes[combination],
            source=self.source,
            start=start,
            end=end,
            fill=self.fill,
            initial_cash=self.initial_cash,
            settings=sections(self.settings),
            ts_event=now,
        )
