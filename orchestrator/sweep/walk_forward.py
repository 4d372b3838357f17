"""Walk-forward: choose parameters on one stretch of the past, trade them on the next, move on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from agents.metrics import performance_metrics
from orchestrator.sweep.table import Result, rank, returns_of
from orchestrator.wording import unknown
from schemas import BacktestCompleted
from streams.errors import ConfigError, DataError, MissingData
from streams.record import rfc3339

METRICS = (
    "sharpe_ratio",
    "total_return",
    "annual_return",
    "sortino_ratio",
    "calmar_ratio",
    "max_drawdown",
    "volatility",
)
"""What parameters may be chosen by: figures of an equity curve alone."""


@dataclass(frozen=True)
class Lengths:
    """How long the stretches are, in sessions."""

    train: int
    test: int
    step: int
    """From one train start to the next; as long as test where every session shall be traded once."""
    anchored: bool = False
    """True: every train stretch begins with the first session."""

    @classmethod
    def parse(cls, text: str) -> Lengths:
        """Return the lengths of 'train=252,test=63[,step=63][,anchored]'; raise ConfigError for anything else."""
        given: dict[str, int] = {}
        anchored = False
        for part in (each.strip() for each in text.split(",")):
            name, _, value = part.partition("=")
            if part == "anchored":
                anchored = True
            elif name not in ("train", "test", "step"):
                raise ConfigError(f"--walk-forward: {unknown('key', name, ('train', 'test', 'step', 'anchored'))}")
            elif not value.isdigit() or int(value) < 2:
                raise ConfigError(f"--walk-forward {part!r}: expected a number of sessions, at least 2")
            else:
                given[name] = int(value)
        if missing := [name for name in ("train", "test") if name not in given]:
            raise ConfigError(f"--walk-forward needs {' and '.join(missing)}, such as train=252,test=63")
        lengths = cls(given["train"], given["test"], given.get("step", given["test"]), anchored)
        if lengths.step < lengths.test:
            raise ConfigError(f"--walk-forward step={lengths.step}: tests of {lengths.test} sessions would overlap")
        return lengths


@dataclass(frozen=True)
class Window:
    """One train stretch and the test stretch after it; days are ISO dates, each included."""

    train_start: str
    train_end: str
    test_start: str
    test_end: str


def windows(sessions: Sequence[str], lengths: Lengths) -> list[Window]:
    """Return the windows that fit into the sessions, oldest first; raise MissingData where none does."""
    found = []
    for first in range(0, len(sessions) - lengths.train - lengths.test + 1, lengths.step):
        split, end = first + lengths.train, first + lengths.train + lengths.test
        start = 0 if lengths.anchored else first
        found.append(Window(sessions[start], sessions[split - 1], sessions[split], sessions[end - 1]))
    if not found:
        need = lengths.train + lengths.test
        raise MissingData(f"a walk-forward window takes {need} sessions, and the data has {len(sessions)}")
    return found


@dataclass(frozen=True)
class Chosen:
    """What a window came to."""

    window: Window
    number: int
    """The trial that was best in training."""
    changes: Mapping[str, Any]
    train: float | None
    """Its metric in training."""
    test: float | None
    """Its metric in the test stretch."""
    returns: tuple[float, ...]
    """Its daily returns in the test stretch."""
    days: tuple[int, ...]
    """Their times, ns UTC."""


@dataclass(frozen=True)
class WalkForward:
    """All windows together.

    A chosen trial's run goes on from its train stretch into the test stretch, with the positions that it has; changing
    from one window's choice to the next is not charged.
    """

    metric: str
    lengths: Lengths
    source: str
    data: str
    chosen: Sequence[Chosen]

    def metrics(self) -> dict[str, Any]:
        """Return the figures of the test stretches put together, with 1 as the start."""
        returns = np.array([value for each in self.chosen for value in each.returns])
        times = [ts for each in self.chosen for ts in each.days]
        return _figures(np.cumprod(np.concatenate([[1.0], 1 + returns])), [times[0] - 1, *times])

    def efficiency(self) -> float | None:
        """Return mean test over mean train metric; None where one is missing or training is not above 0."""
        pairs = [(each.train, each.test) for each in self.chosen if each.train is not None and each.test is not None]
        trained = sum(train for train, _ in pairs)
        return sum(test for _, test in pairs) / trained if len(pairs) == len(self.chosen) and trained > 0 else None

    def summary(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        windows = [
            {**asdict(each.window), "number": each.number, **each.changes, "train": each.train, "test": each.test}
            for each in self.chosen
        ]
        returns = [
            {"time": rfc3339(ts), "return": value}
            for each in self.chosen
            for ts, value in zip(each.days, each.returns, strict=True)
        ]
        return {
            "source": self.source,
            "data": self.data,
            "metric": self.metric,
            "lengths": asdict(self.lengths),
            "windows": windows,
            "efficiency": self.efficiency(),
            "out_of_sample": self.metrics(),
            "returns": returns,
        }

    def json(self) -> str:
        """Return the summary as text; the same walk-forward gives the same bytes."""
        return json.dumps(self.summary(), indent=2) + "\n"


def choose(window: Window, changes: Sequence[Mapping[str, Any]], results: Sequence[Result], metric: str) -> Chosen:
    """Choose the trial that is best in training, and return what it did in the test stretch.

    results: the trials' runs over train and test together. Raises DataError where none could be run.
    """
    done = [(number, each) for number, each in enumerate(results) if isinstance(each, BacktestCompleted)]
    if not done:
        raise DataError(f"no trial could be run from {window.train_start}: {getattr(results[0], 'error', '')}")
    scored = [(number, each, _part(each, "", window.train_end)[2].get(metric)) for number, each in done]
    number, best, train = min(scored, key=lambda each: (*rank(each[2], metric), each[0]))
    days, returns, figures = _part(best, window.train_end, window.test_end)
    return Chosen(window, number, changes[number], train, figures.get(metric), returns, days)


def _part(
    result: BacktestCompleted, after: str, until: str
) -> tuple[tuple[int, ...], tuple[float, ...], dict[str, Any]]:
    """Return the days after one date up to another, their returns and figures."""
    dates = [rfc3339(ts)[:10] for ts in result.days]
    inside = [index for index, date in enumerate(dates) if after < date <= until]
    first = max(inside[0] - 1, 0)
    equity, times = result.equity[first : inside[-1] + 1], result.days[first : inside[-1] + 1]
    return times[1:], tuple(returns_of(equity).tolist()), _figures(np.array(equity), times)


def _figures(equity: Any, times: Sequence[int]) -> dict[str, Any]:
    figures = performance_metrics(equity, times, [])
    return {name: figures[name] for name in METRICS}


def check_metric(metric: str) -> None:
    """Raise ConfigError where parameters cannot be chosen by a metric."""
    if metric not in METRICS:
        raise ConfigError(unknown("metric", metric, METRICS))
