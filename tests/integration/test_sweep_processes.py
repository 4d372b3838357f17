"""A sweep whose process dies: the backtest that killed it fails, all others have their results."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from infra.sweep.plan import SweepPlan
from infra.sweep.processes import Workers, run_here
from orchestrator.settings import Settings
from schemas import BacktestCompleted, BacktestFailed, RunBacktest

POOL = """
import os, signal
from agents.context import Run
from agents.pool import AgentPool
from schemas import Bar, Signal

pool = AgentPool("deadly", role="alpha")

@pool.on
def decide(bar: Bar, run: Run) -> Signal | None:
    if run.parameters["deadly"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return None
"""


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunBacktest]:
    """Give two backtests, the first of which kills its process as a lack of memory would."""
    (tmp_path / "deadly_pool.py").write_text(POOL)
    monkeypatch.syspath_prepend(str(tmp_path))
    document = {
        "name": "Deadly",
        "description": "Kills its process.",
        "symbols": ["AAPL"],
        "pool": "deadly_pool:pool",
        "parameters": {"deadly": {"type": "bool", "default": False, "description": "whether it kills"}},
    }
    changes = [{"deadly": deadly} for deadly in (True, False)]
    plan = SweepPlan(document, changes, "sample", "2012-01-03", "2012-01-10", "next_open", 0.0, Settings())
    return plan.jobs("sweep-1", 0)


def check(results: list[BacktestCompleted | BacktestFailed]) -> None:
    died, done = results
    assert (died.number, done.number) == (0, 1)
    assert isinstance(done, BacktestCompleted)
    assert isinstance(died, BacktestFailed)
    assert died.error == "the process of this backtest died: it was killed, or memory ran out"


def test_a_sweep_on_this_machine_goes_on(jobs: list[RunBacktest]) -> None:
    told: list[None] = []
    check(run_here(jobs, 2, lambda: told.append(None)))
    assert len(told) == 2


async def test_a_worker_of_a_group_goes_on(jobs: list[RunBacktest]) -> None:
    with closing(Workers(2)) as workers:
        check(list(await asyncio.gather(*(workers.run(job) for job in jobs))))
        again = await workers.run(jobs[1])  # in the pool that was made anew
    assert isinstance(again, BacktestCompleted)
