"""Monte Carlo: a strategy really run on many resampled paths, in one process or several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np

from orchestrator.sandbox.options import MonteCarloOptions
from orchestrator.sandbox.outcome import POINTS, manifest, summary, thinned
from orchestrator.sandbox.panel import Panel
from orchestrator.sandbox.paths import mean_block, path
from orchestrator.sandbox.scenario import SandboxMode
from orchestrator.sandbox.trial import Rows, Trial
from schemas.columns import Float64
from streams.errors import ConfigError, ServiceError
from streams.record import rfc3339

FIGURES = ("final_value", "total_return", "sharpe_ratio", "max_drawdown")
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
FAN = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Job:
    """What every path needs; it travels once to each process."""

    trial: Trial
    panel: Panel
    block: float
    seed: int
    rows: tuple[int, ...]
    """Slices whose equity is kept."""


@dataclass(frozen=True)
class Outcome:
    """What a path led to."""

    figures: Mapping[str, float | None]
    equity: Float64
    """At the kept slices."""


def run_monte_carlo(trial: Trial, slices: Rows, options: MonteCarloOptions) -> dict[str, Any]:
    """Run a trial on the slices of bars as they are and on paths made of them; return the documented result."""
    panel = Panel.of(slices)
    real = trial.run(slices)
    block = options.mean_block or mean_block(panel)
    job = Job(trial, panel, block, options.seed, tuple(thinned(len(real.times), POINTS)))
    equity = np.empty((options.paths, len(job.rows)))
    figures: list[Mapping[str, float | None]] = []
    with _outcomes(job, options) as outcomes:
        for number, outcome in enumerate(outcomes):
            figures.append(outcome.figures)
            equity[number] = outcome.equity
    finals = [each["final_value"] for each in figures]
    told = options.model_dump(mode="json", exclude={"workers"})
    return {
        "status": "completed",
        "performance_metrics": real.metrics(),
        "monte_carlo": {
            "paths": options.paths,
            "mean_block": block,
            "distribution": {name: _distribution(figures, name, real.metrics()[name]) for name in FIGURES},
            "probability_of_loss": float(np.mean(np.array(finals) < trial.plan.initial_cash)),
            "final_values": finals,
            "fan": _fan(equity, [rfc3339(real.times[row]) for row in job.rows]),
            "real": {"strategy": trial.name, **summary(real)},
        },
        "manifest": manifest(
            SandboxMode.MONTE_CARLO,
            [real],
            told,
            derived=f"synthetic: {options.paths} paths of the source's bars, resampled with seed {options.seed}",
            seed=options.seed,
        ),
    }


@contextmanager
def _outcomes(job: Job, options: MonteCarloOptions) -> Iterator[Iterator[Outcome]]:
    """Yield the paths' outcomes in their order."""
    numbers = range(options.paths)
    if options.workers == 1:
        yield map(partial(outcome, job), numbers)
        return
    if job.trial.registered:
        names = ", ".join(pool.name for pool in job.trial.registered)
        raise ConfigError(f"registered pools ({names}) do not travel to other processes: give workers 1")
    processes = min(options.workers, options.paths)
    try:
        with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_take, initargs=(job,)) as pool:
            yield pool.map(_taken, numbers, chunksize=max(1, options.paths // (4 * processes)))
    except BrokenProcessPool as error:
        raise ServiceError("a process of the Monte Carlo run died: it was killed, or memory ran out") from error


def outcome(job: Job, number: int) -> Outcome:
    """Run path `number`."""
    made = path(job.panel, job.block, job.seed, number)
    backtest = job.trial.run(made.slices(f"monte-carlo:seed={job.seed}:path={number}"))
    metrics = backtest.metrics()
    equity = np.array(backtest.equity)[list(job.rows)]
    return Outcome({name: metrics[name] for name in FIGURES}, equity)


_job: Job | None = None
"""In a worker process: what it works on."""


def _take(job: Job) -> None:
    global _job
    _job = job


def _taken(number: int) -> Outcome:
    assert _job is not None
    return outcome(_job, number)


def _distribution(figures: Sequence[Mapping[str, float | None]], name: str, real: float | None) -> dict[str, Any]:
    """Return percentiles, mean and where the real history's figure lies; None where no path has the figure."""
    values = np.array([value for each in figures if (value := each[name]) is not None])
    if not len(values):
        return {"percentiles": dict.fromkeys(map(str, PERCENTILES)), "mean": None, "real": real, "real_rank": None}
    found = np.percentile(values, PERCENTILES).tolist()
    return {
        "percentiles": dict(zip(map(str, PERCENTILES), found, strict=True)),
        "mean": float(values.mean()),
        "real": real,
        "real_rank": _rank(values, real) if real is not None else None,
    }


def _rank(values: Float64, real: float) -> float:
    """Return the share of values below a value, those equal to it by half."""
    return float(np.mean(values < real) + np.mean(values == real) / 2)


def _fan(equity: Float64, times: list[str]) -> dict[str, Any]:
    bands = np.percentile(equity, FAN, axis=0).tolist()
    return {"time": times, "percentiles": dict(zip(map(str, FAN), bands, strict=True))}
