"""One backtest of a sweep, in whatever process it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from agents.data.feed import Row
from agents.data.reference import Reference
from infra.cli.feed_source import Wanted, open_source
from infra.cli.tested import Asked, checked_slices, fill_of, plan_of_asked
from orchestrator.backtest import Backtest, following, run_backtest
from orchestrator.settings import Settings
from orchestrator.strategy_file import strategy_from_dict
from orchestrator.wiring import pools_of_plan
from schemas import BacktestCompleted, BacktestFailed, Instrument, RunBacktest

SECTIONS = ("sandbox", "risk", "costs", "financing", "data")
"""The sections of the settings that decide a backtest's outcome."""
_DAY_NS = 86_400 * 10**9
_WINDOW_NS = 10**9


def run_job(job: RunBacktest) -> BacktestCompleted | BacktestFailed:
    """Run a backtest; whatever goes wrong in it is its answer, since another worker would fare no better."""
    try:
        return _completed(job, asyncio.run(_backtest(job)))
    except Exception as error:
        return failed(job, error)


def failed(job: RunBacktest, error: Exception) -> BacktestFailed:
    """Return the answer of a backtest that went wrong."""
    return BacktestFailed(
        job_id=job.job_id,
        sweep_id=job.sweep_id,
        number=job.number,
        error=str(error) or repr(error),
        error_type=type(error).__name__,
        ts_event=job.ts_event,
    )


def sections(settings: Settings) -> dict[str, Any]:
    """Return what a job carries of the settings."""
    return settings.model_dump(mode="json", include=set(SECTIONS))


async def _backtest(job: RunBacktest) -> Backtest:
    settings = Settings.from_dict(job.settings)
    loaded = strategy_from_dict(job.document, job.changes)
    instruments, slices, name = rows_of(job.source, tuple(loaded.strategy.symbols), job.start, job.end)
    asked = Asked("", job.source, job.start, job.end, fill_of(job.fill), initial_cash=job.initial_cash or None)
    plan = plan_of_asked(loaded, settings, asked, instruments, name)
    own = [loaded.pool] if loaded.pool else []
    checked = checked_slices(following(slices), loaded, plan.fill)
    return await run_backtest(plan, checked, [*pools_of_plan(plan), *own])


@lru_cache(maxsize=4)
def rows_of(
    source: str, symbols: tuple[str, ...], start: str, end: str
) -> tuple[Sequence[Instrument], tuple[Sequence[Row], ...], str]:
    """Return instruments, slices and the source's name; kept, because the jobs of a sweep share them."""
    found = open_source(source, Wanted(symbols, start, end, "", _WINDOW_NS, "", 10_000, Reference()))
    return found.instruments, tuple(found.slices), found.name


def _completed(job: RunBacktest, done: Backtest) -> BacktestCompleted:
    daily = {ts // _DAY_NS: (ts, value) for ts, value in zip(done.times, done.equity, strict=True)}
    counts = {"orders": len(done.orders), "fills": len(done.fills), "denials": len(done.denials)}
    manifest = done.manifest()
    return BacktestCompleted(
        job_id=job.job_id,
        sweep_id=job.sweep_id,
        number=job.number,
        run_id=done.run.run_id,
        source=manifest["source"],
        data=manifest["data"],
        data_sha256=manifest["data_sha256"],
        metrics={**done.metrics(), **counts},
        days=tuple(ts for ts, _ in daily.values()),
        equity=tuple(value for _, value in daily.values()),
        ts_event=job.ts_event,
    )
