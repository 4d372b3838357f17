"""Live simulation: history, paced, through the live path in a system of its own."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from agents.data.slicing import slice_ts
from orchestrator.backtest import Backtest, count, note
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.sandbox.options import LiveOptions
from orchestrator.sandbox.outcome import manifest, summary
from orchestrator.sandbox.scenario import SandboxMode
from orchestrator.sandbox.trial import Rows, Trial
from orchestrator.sections import KafkaSection, RedisSection
from orchestrator.settings import Settings
from streams.errors import ConfigError
from streams.tail import Tail, tail

TOPICS = ("signals", "risk", "orders", "fills", "positions")
AHEAD = 50
"""Slices that the feed may be ahead of the pools."""
SLICE_S = 60.0
"""Longest time that the pools may take for a slice."""


async def run_live(trial: Trial, slices: Rows, options: LiveOptions) -> dict[str, Any]:
    """Trade slices as simulate does; return the documented result, a backtest's."""
    backtest = await simulate(trial, slices, options.pace)
    result = backtest.result()
    return {
        **result,
        "live": {"pace": options.pace, **summary(backtest)},
        "manifest": manifest(SandboxMode.LIVE_SIMULATION, [backtest], options.model_dump(mode="json")),
    }


async def simulate(trial: Trial, slices: Rows, pace: float = 0.0) -> Backtest:
    """Feed slices to a whole system of pools, so many a second or as fast as it goes (0); return what came of it.

    The system is the orchestrator's embedded one, with a broker in memory: commands, steps, data and decisions go over
    its topics, but meet no other system's. Raises ConfigError for a fill rule that the live path does not have.
    """
    if trial.plan.fill != "next_open":
        raise ConfigError(f"the live path fills at next_open, got fill rule {trial.plan.fill}")
    system = FinAgentOrchestrator(settings=apart(trial.plan.settings))
    for pool in trial.own_pools():
        system.register_agent_pool(pool)
    await system.initialize()
    try:
        return await _traded(system, trial, slices, pace)
    finally:
        await system.shutdown()


def apart(settings: Settings) -> Settings:
    """Return the settings with a broker and a store of the simulation's own, in memory."""
    return settings.model_copy(update={"kafka": KafkaSection(), "redis": RedisSection()})


async def _traded(system: FinAgentOrchestrator, trial: Trial, slices: Rows, pace: float) -> Backtest:
    run = trial.plan.run()
    feed = await system.feed()
    async with tail(system.broker, system.serde, TOPICS) as followed:
        started = await system.start_strategy(
            trial.plan.strategy,
            initial_cash=run.initial_cash,
            account_id=run.account_id,
            check_history=False,
            run_id=run.run_id,
        )
        backtest, digest = Backtest(trial.plan, started), hashlib.sha256()
        times = [slice_ts(rows) for rows in slices]
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number, rows in enumerate(slices):
            if pace:
                await _until(began + number / pace, followed, backtest)
            await feed.publish([rows])
            count(backtest, digest, rows)
            if number >= AHEAD:
                await followed.slice_done(times[number - AHEAD], system.partitions, SLICE_S)
                _taken(followed, backtest)
        for ts in times[-AHEAD:]:
            await followed.slice_done(ts, system.partitions, SLICE_S)
        _taken(followed, backtest)
    backtest.data_hash = digest.hexdigest()
    return backtest


async def _until(due: float, followed: Tail, backtest: Backtest) -> None:
    """Read on until a slice is due."""
    loop = asyncio.get_running_loop()
    while (left := due - loop.time()) > 0:
        await followed.poll(left)
    _taken(followed, backtest)


def _taken(followed: Tail, backtest: Backtest) -> None:
    for event in followed.events:
        note(backtest, event)
    followed.events.clear()
