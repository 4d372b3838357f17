"""A/B tests: two strategies on the same data, paired by day."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.metrics.bootstrap import block_length, resample_indices
from agents.metrics.returns import FLAT, simple_returns
from orchestrator.backtest import Backtest
from orchestrator.sandbox.options import AbOptions
from orchestrator.sandbox.outcome import manifest, summary, thinned
from orchestrator.sandbox.scenario import SandboxMode
from orchestrator.sandbox.trial import Rows, Trial
from schemas.columns import Float64
from streams.errors import MissingData

SHORTEST = 20
"""Days that a comparison needs."""
_DAY_NS = 86_400 * 10**9


@dataclass(frozen=True)
class Comparison:
    """What paired differences tell."""

    mean: float
    """Mean difference a day."""
    p_value: float
    """Two-sided, of a true mean of 0."""
    low: float
    """Lower end of the interval of the mean a day."""
    high: float
    block: float
    """Mean block of the bootstrap, in days."""


def run_ab(a: Trial, b: Trial, slices: Rows, options: AbOptions) -> dict[str, Any]:
    """Run both arms on the same slices and compare their daily returns, B less A; return the documented result."""
    arms = [trial.run(slices) for trial in (a, b)]
    days, returns = _daily(arms[0])
    differences = _daily(arms[1])[1] - returns
    if len(days) < SHORTEST:
        raise MissingData(f"an A/B test needs {SHORTEST} days with returns, there are {len(days)}")
    found = compare(differences, options)
    return {
        "status": "completed",
        "performance_metrics": arms[0].metrics(),
        "ab_test": {
            "arms": [
                {"arm": name, "strategy": trial.name, **summary(run)}
                for name, trial, run in zip("AB", (a, b), arms, strict=True)
            ],
            "days": len(days),
            **_figures(differences, found, options),
            **_verdict((a.name, b.name), found, options),
            "difference": _cumulative(days, differences),
        },
        "manifest": manifest(
            SandboxMode.AB_TEST,
            arms,
            options.model_dump(mode="json"),
            derived=f"p-value and interval from {options.resamples} bootstrap resamples of the daily differences",
            seed=options.seed,
        ),
    }


def compare(differences: Float64, options: AbOptions) -> Comparison:
    """Return what daily differences tell by the stationary bootstrap (Politis and Romano 1994).

    The p-value is the share of resampled means, moved to a true mean of 0, that lie as far out as the observed one;
    the observed one counts as one of them (Davison and Hinkley 1997, section 4.2). The interval is of percentiles.
    """
    generator = np.random.default_rng(options.seed)
    block = block_length(differences) if options.mean_block is None else options.mean_block
    means = np.array(
        [differences[resample_indices(len(differences), block, generator)].mean() for _ in range(options.resamples)]
    )
    mean = float(differences.mean())
    beyond = int(np.count_nonzero(np.abs(means - mean) >= abs(mean)))
    tail = (1 - options.confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Comparison(mean, (1 + beyond) / (1 + options.resamples), float(low), float(high), block)


def _daily(backtest: Backtest) -> tuple[list[int], Float64]:
    """Return days since 1970 (UTC) and the return of each, the start capital before the first."""
    days = np.array(backtest.times) // _DAY_NS
    last = np.flatnonzero(np.append(np.diff(days) > 0, True))
    equity = np.array([backtest.run.initial_cash, *np.array(backtest.equity)[last]])
    returns = simple_returns(equity)
    if not len(returns):
        raise MissingData(f"equity of {backtest.run.strategy_id} fell to 0 or below: it has no daily returns")
    return days[last].tolist(), returns


def _figures(differences: Float64, found: Comparison, options: AbOptions) -> dict[str, Any]:
    year, spread = options.periods_per_year, float(differences.std(ddof=1))
    effect = found.mean / spread if spread > FLAT else None
    return {
        "mean_daily_difference": found.mean,
        "annual_difference": found.mean * year,
        "confidence": options.confidence,
        "annual_interval": [found.low * year, found.high * year],
        "p_value": found.p_value,
        "effect_size": effect,
        "annual_effect_size": effect * math.sqrt(year) if effect is not None else None,
        "mean_block": found.block,
        "resamples": options.resamples,
    }


def _verdict(names: tuple[str, str], found: Comparison, options: AbOptions) -> dict[str, Any]:
    year = options.periods_per_year
    interval = f"{options.confidence:.0%} interval {found.low * year:+.2%} to {found.high * year:+.2%} a year"
    odds = f"p = {found.p_value:.3f}"
    if found.p_value >= 1 - options.confidence:
        return {"better": None, "verdict": f"the data cannot tell A from B ({odds}, {interval})"}
    arm, name, by = ("B", names[1], found.mean) if found.mean > 0 else ("A", names[0], -found.mean)
    return {"better": arm, "verdict": f"{arm} ({name}) is better by {by * year:.2%} a year ({odds}, {interval})"}


def _cumulative(days: Sequence[int], differences: Float64) -> dict[str, list[Any]]:
    total = np.cumsum(differences)
    rows = thinned(len(total))
    first = dt.date(1970, 1, 1)
    return {
        "day": [(first + dt.timedelta(days=days[row])).isoformat() for row in rows],
        "cumulative": total[rows].tolist(),
    }
