"""What results say of a run, and of what ran."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.metrics.drawdown import max_drawdown
from orchestrator.backtest import Backtest
from orchestrator.sandbox.scenario import SandboxMode
from schemas import canonical_json
from streams.record import rfc3339

POINTS = 500
"""Points of a series in a result, at most."""


def thinned(length: int, points: int = POINTS) -> list[int]:
    """Return at most `points` rows spread evenly over 0 .. length - 1, the first and the last among them."""
    if length <= points:
        return list(range(length))
    return [round(row) for row in np.linspace(0, length - 1, points).tolist()]


def series(backtest: Backtest) -> dict[str, list[Any]]:
    """Return equity after each slice, thinned: {time: RFC 3339, equity}."""
    rows = thinned(len(backtest.times))
    return {
        "time": [rfc3339(backtest.times[row]) for row in rows],
        "equity": [backtest.equity[row] for row in rows],
    }


def summary(backtest: Backtest) -> dict[str, Any]:
    """Return what every run tells: figures, counts, equity and what its rows say of their origin."""
    return {
        "final_value": backtest.final_equity,
        "performance_metrics": backtest.metrics(),
        "max_drawdown": max_drawdown(np.array([backtest.run.initial_cash, *backtest.equity])),
        "orders": len(backtest.orders),
        "fills": len(backtest.fills),
        "denials": len(backtest.denials),
        "kill_switch_trips": backtest.trips,
        "data": " and ".join(sorted(backtest.origins)),
        "data_sha256": backtest.data_hash,
        "equity": series(backtest),
    }


def manifest(
    mode: SandboxMode, runs: Sequence[Backtest], options: dict[str, Any], *, derived: str = "", seed: int | None = None
) -> dict[str, Any]:
    """Return what ran: the first run's manifest, the configuration of all of them, and what was made of the data.

    runs: those on the data as they are; derived: what else was run on, for people; seed: what made it.
    """
    config = {"mode": mode.value, "options": options, "runs": [run.plan.config() for run in runs]}
    return {
        **runs[0].manifest(),
        "mode": mode.value,
        "config": config,
        "config_sha256": hashlib.sha256(canonical_json(config).encode()).hexdigest(),
        "derived": derived,
        "seed": seed,
    }
