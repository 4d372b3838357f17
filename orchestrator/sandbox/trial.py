"""A strategy to be tried: what is run over any data of its instruments, in this process or another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.data.feed import Row
from agents.data.fetch import Fetched
from agents.data.slicing import bar_slices
from agents.execution.pool import CostsAt
from agents.execution.pool import build as build_execution
from agents.pool import AgentPool
from orchestrator.backtest import Backtest, BacktestPlan, run_backtest
from orchestrator.settings import Settings
from orchestrator.strategy import TradingStrategy, alpha_pool_of
from orchestrator.strategy_file import load_strategy
from orchestrator.wiring import pools_of_plan

Rows = Sequence[Sequence[Row]]
"""Slices in time order."""


@dataclass(frozen=True)
class Trial:
    """A plan, and the pools that it runs with besides the built-in ones."""

    name: str
    plan: BacktestPlan
    file: str = ""
    """Strategy file or module:attr whose own pool decides; empty: none. This travels to other processes."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the file that are replaced."""
    registered: tuple[AgentPool, ...] = ()
    """Pools that were registered; these do not travel."""

    def own_pools(self) -> list[AgentPool]:
        """Return the pools that are not built in."""
        loaded = load_strategy(self.file, self.changes).pool if self.file else None
        return [*([loaded] if loaded else []), *self.registered]

    def pools(self) -> list[AgentPool]:
        """Return all pools of a replay."""
        return [*pools_of_plan(self.plan), *self.own_pools()]

    def run(self, slices: Rows, costs: CostsAt | None = None) -> Backtest:
        """Replay the slices; costs: what fills pay at a time, instead of the configured costs.

        Runs an event loop of its own: call it where none runs.
        """
        pools = self.pools()
        if costs is not None:
            pools = [build_execution(costs, self.plan.fill) if p.name == "execution" else p for p in pools]
        return asyncio.run(run_backtest(self.plan, following(slices), pools))


async def following(slices: Rows) -> AsyncIterator[Sequence[Row]]:
    """Yield slices that are there already."""
    for rows in slices:
        yield rows


def plan_of(
    strategy: TradingStrategy, fetched: Fetched, settings: Settings, initial_cash: float | None = None
) -> BacktestPlan:
    """Return the plan for a strategy over fetched bars."""
    return BacktestPlan(
        strategy=strategy,
        instruments=fetched.instruments,
        settings=settings,
        source=fetched.note,
        initial_cash=settings.sandbox.initial_capital if initial_cash is None else initial_cash,
        alpha_pool=alpha_pool_of(strategy.parameters),
    )


def slices_of(fetched: Fetched) -> AsyncIterator[Sequence[Row]]:
    """Yield fetched bars slice by slice."""
    return following(rows_of(fetched))


def rows_of(fetched: Fetched) -> Rows:
    """Return fetched bars slice by slice."""
    return list(bar_slices([bar for block in fetched.blocks for bar in block.bars()]))
