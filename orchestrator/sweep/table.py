"""The results of a sweep side by side."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.metrics.overfitting import Overfitting, probability_of_overfitting
from agents.metrics.skill import deflated_sharpe_ratio, estimate_sharpe
from orchestrator.wording import unknown
from schemas import BacktestCompleted, BacktestFailed
from schemas.columns import Float64
from streams.errors import ConfigError, DataError, InvalidData

FIGURES = (
    "total_return",
    "annual_return",
    "volatility",
    "sharpe_ratio",
    "sortino_ratio",
    "calmar_ratio",
    "max_drawdown",
    "turnover",
    "cost_drag",
    "win_rate",
    "profit_factor",
    "final_value",
    "orders",
    "fills",
    "denials",
)
"""Columns after the parameters."""
LOWER_IS_BETTER = frozenset({"volatility", "max_drawdown", "turnover", "cost_drag"})
Result = BacktestCompleted | BacktestFailed


@dataclass(frozen=True)
class Sweep:
    """What was tried and what it came to, in the order of the trials."""

    metric: str
    """What the best is chosen by."""
    changes: Sequence[Mapping[str, Any]]
    results: Sequence[Result]

    def __post_init__(self) -> None:
        if self.metric not in FIGURES:
            raise ConfigError(unknown("metric", self.metric, FIGURES))

    @property
    def completed(self) -> list[BacktestCompleted]:
        """Return the trials that could be run."""
        return [result for result in self.results if isinstance(result, BacktestCompleted)]

    @property
    def failed(self) -> list[BacktestFailed]:
        """Return the trials that could not."""
        return [result for result in self.results if isinstance(result, BacktestFailed)]

    def ranked(self) -> list[BacktestCompleted]:
        """Return the completed trials, best first; equal ones by number, those without the figure last."""

        def place(result: BacktestCompleted) -> tuple[bool, float, int]:
            return (*rank(result.metrics.get(self.metric), self.metric), result.number)

        return sorted(self.completed, key=place)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row a trial: number, parameters, figures, error."""
        rows = []
        for changes, result in zip(self.changes, self.results, strict=True):
            found = result.metrics if isinstance(result, BacktestCompleted) else {}
            error = result.error if isinstance(result, BacktestFailed) else ""
            figures = {name: found.get(name) for name in FIGURES}
            rows.append({"number": result.number, **changes, **figures, "error": error})
        return rows

    def csv(self) -> str:
        """Return the table as CSV, one row a trial; what is undefined is empty."""
        text, rows = io.StringIO(), self.rows()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def data(self) -> tuple[str, str, str]:
        """Return (source, real or synthetic, hash) of the data; raise DataError where the trials saw different data."""
        found = {(result.source, result.data, result.data_sha256) for result in self.completed}
        if len(found) > 1:
            raise DataError(f"the trials saw different data: {sorted(found)}; every worker needs the same source")
        if not found:
            raise DataError(f"no trial could be run; the first failed with: {self.failed[0].error}")
        return found.pop()

    def returns(self) -> Float64:
        """Return the daily returns of the completed trials, shape (days - 1, trials)."""
        return np.column_stack([returns_of(result.equity) for result in self.completed])

    def overfitting(self, blocks: int = 16) -> Overfitting | None:
        """Return how likely the best is best by chance; None for too few days or trials, or where all are alike."""
        returns = self.returns()
        if (returns == returns[:, :1]).all():
            return None
        try:
            return probability_of_overfitting(returns, blocks)
        except InvalidData:
            return None

    def deflated_sharpe_ratio(self) -> float | None:
        """Return how likely the best by Sharpe ratio has skill, given how many were tried; None where undefined."""
        estimates = [estimate for column in self.returns().T if (estimate := estimate_sharpe(column)) is not None]
        if len(estimates) < 2:
            return None
        best = max(estimates, key=lambda each: each.ratio)
        variance = float(np.var([each.ratio for each in estimates], ddof=1))
        return deflated_sharpe_ratio(best, len(estimates), variance)

    def summary(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        source, kind, digest = self.data()
        overfitting = self.overfitting()
        best = self.ranked()[0]
        return {
            "source": source,
            "data": kind,
            "data_sha256": digest,
            "metric": self.metric,
            "runs": len(self.results),
            "failed": len(self.failed),
            "best": {"number": best.number, **self.changes[best.number], self.metric: best.metrics.get(self.metric)},
            "deflated_sharpe_ratio": self.deflated_sharpe_ratio(),
            "probability_of_overfitting": overfitting.probability if overfitting else None,
            "overfitting": _figures(overfitting),
            "rows": self.rows(),
        }

    def json(self) -> str:
        """Return the summary as text; the same sweep gives the same bytes."""
        return json.dumps(self.summary(), indent=2) + "\n"


def returns_of(equity: Sequence[float]) -> Float64:
    """Return simple returns, shape (n - 1,); 0 from where nothing is left."""
    levels = np.array(equity)
    alive = levels[:-1] > 0
    result: Float64 = np.divide(levels[1:], levels[:-1], out=np.ones(len(levels) - 1), where=alive) - 1
    return result


def rank(value: Any, metric: str) -> tuple[bool, float]:
    """Return a key that sorts better values of a metric first, undefined ones last."""
    if value is None:
        return True, 0.0
    return False, float(value) if metric in LOWER_IS_BETTER else -float(value)


def _figures(found: Overfitting | None) -> dict[str, float] | None:
    if found is None:
        return None
    return {"splits": len(found.logits), "loss_probability": found.loss_probability, "slope": found.slope}
