"""The facade that programs use: FinAgentOrchestrator."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import cached_property
from typing import Any

import psutil

from agents.data.feed import Feed
from agents.data.realtime import rows_of
from agents.data.sources import open_providers
from agents.pool import AgentPool
from orchestrator.client import Client
from orchestrator.health import health_of
from orchestrator.heartbeat import beat, reports
from orchestrator.planner import workflow_from_dict
from orchestrator.results import strategy_result, workflow_result
from orchestrator.settings import Settings, load
from orchestrator.strategy import TradingStrategy
from orchestrator.wiring import all_kinds, broker_of, context_of, partitions_of, pools_of, store_of
from schemas import ExecuteStrategy, Instrument, StartStrategy, StopStrategy, StrategyStarted, Workflow
from streams.broker import Broker
from streams.clock import Clock, WallClock
from streams.errors import ConfigError, FinAgentError, StoreError, UnknownSymbol, WorkflowError
from streams.host import Host, create_topology
from streams.serde import Serde

log = logging.getLogger("FinAgentOrchestrator")
WORKFLOW_TIMEOUT_S = 120.0
"""How long a call waits for its workflow to end."""


class FinAgentOrchestrator:
    """Runs strategies and workflows: all in this process, or through Kafka where the settings name a cluster.

    config is a nested dict of settings over the file and the environment.
    """

    def __init__(self, config: Mapping[str, Any] | None = None, *, settings: Settings | None = None) -> None:
        self.settings = settings or load(overrides=config)
        if config and "log_level" in config:
            logging.getLogger("FinAgentOrchestrator").setLevel(self.settings.log_level)
            logging.getLogger("finagent").setLevel(self.settings.log_level)
        self.clock: Clock = WallClock()
        self.serde = Serde()
        self.partitions = partitions_of(self.settings)
        self._custom: list[AgentPool] = []
        self._stack = AsyncExitStack()
        self._client: Client | None = None
        self._host: Host | None = None
        self._feed: Feed | None = None
        self._executed: list[bool] = []

    async def initialize(self) -> None:
        """Connect, and in embedded mode start every pool; without Redis it goes on without persistence."""
        if self._client is not None:
            return
        self._broker: Broker = broker_of(self.settings)
        self._store = store_of(self.settings)
        try:
            await self._start()
        except BaseException:
            await self.shutdown()
            raise

    async def _start(self) -> None:
        await self._broker.start()
        self._stack.push_async_callback(self._broker.stop)
        try:
            await self._store.start()
            self._stack.push_async_callback(self._store.stop)
        except StoreError as error:
            log.warning("Memory agent unavailable, running without persistence")
            log.debug("%s", error)
        pools = [*pools_of(self.settings), *self._custom]
        kinds = all_kinds(pools, context_of(self.settings, self._custom))
        await create_topology(self._broker, self.partitions, kinds)
        if not self.settings.kafka.bootstrap:
            self._host = Host(self._broker, kinds, self.partitions, self.clock, self.serde)
            for work in (self._host.run(), beat(self._host, self._store, self.clock)):
                self._stack.push_async_callback(_ended, asyncio.create_task(work))
            self._stack.callback(self._host.stop.set)
        self._client = await self._stack.enter_async_context(Client.open(self._broker, self.serde, self.clock))

    @property
    def broker(self) -> Broker:
        """Return the broker; raise ConfigError before initialize."""
        self._connected()
        return self._broker

    def _connected(self) -> Client:
        if self._client is None:
            raise ConfigError("the orchestrator is not initialized; call `await orchestrator.initialize()` first")
        return self._client

    def register_agent_pool(self, pool: AgentPool) -> None:
        """Add a pool of one's own to the embedded system, before initialize."""
        if self._client is not None:
            raise ConfigError(f"register pool {pool.name!r} before initialize")
        self._custom.append(pool)

    async def execute_strategy(self, strategy: TradingStrategy, *, execute: bool = False) -> dict[str, Any]:
        """Evaluate a strategy once, as of the last bar; with execute=True paper orders follow at the next slice."""
        client, spec, began = self._connected(), strategy.to_spec(), time.perf_counter()
        name = _fresh(strategy.strategy_id)
        command = ExecuteStrategy(workflow_id=name, ts_event=self.clock.now(), strategy=spec, execute=execute)
        await client.submit(command)
        workflow = await self._ended(name)
        return strategy_result(strategy.strategy_id, workflow, time.perf_counter() - began)

    async def execute_workflow(self, workflow: Mapping[str, Any]) -> dict[str, Any]:
        """Run a workflow: {workflow_id, steps: [{agent_pool, action, parameters}]}; return each step's result.

        A workflow_id names one execution: giving one again returns what it came to.
        """
        client = self._connected()
        command = workflow_from_dict(workflow, self.clock.now(), workflow_id=_fresh("workflow"))
        await client.submit(command)
        return workflow_result(await self._ended(command.workflow_id))

    async def start_strategy(
        self,
        strategy: TradingStrategy,
        *,
        initial_cash: float | None = None,
        account_id: str = "",
        history_end: str = "",
        check_history: bool = True,
        run_id: str | None = None,
    ) -> StrategyStarted:
        """Put a strategy on the data plane until it is stopped; return the run. Raises WorkflowError where it fails."""
        client, name = self._connected(), run_id or _fresh(strategy.strategy_id)
        command = StartStrategy(
            workflow_id=name,
            ts_event=self.clock.now(),
            strategy=strategy.to_spec(),
            end=history_end,
            initial_cash=initial_cash or self.settings.sandbox.initial_capital,
            account_id=account_id,
            check_history=check_history,
        )
        await client.submit(command)
        workflow = await self._ended(name)
        if workflow.status != "completed":
            raise WorkflowError(workflow.error)
        await client.until(lambda: name in client.runs, f"run {name!r} to be announced")
        return client.runs[name]

    async def stop_strategy(self, run_id: str, reason: str = "stopped by user") -> None:
        """Take a run off the data plane; its positions stay."""
        client = self._connected()
        await client.submit(StopStrategy(workflow_id=run_id, ts_event=self.clock.now(), run_id=run_id, reason=reason))
        await client.until(lambda: run_id not in client.runs, f"run {run_id!r} to stop")

    async def _ended(self, workflow_id: str) -> Workflow:
        workflow = await self._connected().wait(workflow_id, WORKFLOW_TIMEOUT_S)
        self._executed.append(workflow.status == "completed")
        return workflow

    async def get_active_strategies(self) -> list[dict[str, Any]]:
        """Return the runs on the data plane."""
        return [
            {
                "run_id": run.run_id,
                "strategy_id": run.strategy_id,
                "account_id": run.account_id,
                "symbols": [instrument.symbol for instrument in run.instruments],
                "started": run.ts_event,
            }
            for run in self._connected().runs.values()
        ]

    async def get_health_status(self) -> dict[str, Any]:
        """Return status healthy, degraded or critical, with the reasons."""
        if self._client is None:
            return {"status": "critical", "reasons": ["not initialized"], "tasks": []}
        return await health_of(self.settings, self._broker, self._store, self._host, self.clock)

    async def task_reports(self) -> list[dict[str, Any]]:
        """Return what each task last told of its progress: rows handled and dead-lettered, the last slice."""
        self._connected()
        return await reports(self._store)

    async def get_performance_metrics(self) -> dict[str, Any]:
        """Return this process's load (fractions in 0..1) and what it executed."""
        workflows = self._client.workflows.values() if self._client else ()
        done = self._executed
        return {
            "cpu_usage": psutil.cpu_percent() / 100,
            "memory_usage": psutil.virtual_memory().percent / 100,
            "process_memory_bytes": psutil.Process().memory_info().rss,
            "active_tasks": sum(workflow.status == "running" for workflow in workflows),
            "total_executed": len(done),
            "success_rate": sum(done) / len(done) if done else None,
        }

    async def process_realtime_data(self, data: Any) -> int:
        """Publish what a live feed gave, as one slice; return its time, ns UTC.

        data: a Bar, TickBlock, trade or bar as a dict, DataFrame of trades, or a list of these.
        """
        rows = rows_of(data, self._instrument)
        if not rows:
            return (await self.feed()).state.last_slice
        return await (await self.feed()).publish_now(rows)

    @cached_property
    def _provided(self) -> list[Instrument]:
        providers = open_providers(self.settings.data.providers)
        return [instrument for provider in providers for instrument in provider.instruments().values()]

    def _instrument(self, symbol: str) -> Instrument:
        known = [instrument for run in self._connected().runs.values() for instrument in run.instruments]
        known += self._provided
        for instrument in known:
            if symbol in (instrument.symbol, instrument.instrument_id):
                return instrument
        names = ", ".join(sorted({instrument.symbol for instrument in known}))
        raise UnknownSymbol(f"no active run and no provider knows {symbol!r}; known: {names}")

    async def feed(self) -> Feed:
        """Return the feed; opening it fences any other feed of the same topics."""
        self._connected()
        if self._feed is None:
            opening = Feed.open(self._broker, self.partitions, self.clock, self.serde)
            self._feed = await self._stack.enter_async_context(opening)
        return self._feed

    async def shutdown(self) -> None:
        """Let running work commit, stop every task, release every connection; calling it again does nothing."""
        stack, self._stack = self._stack, AsyncExitStack()
        self._client = self._feed = None
        with suppress(FinAgentError):
            await stack.aclose()


async def _ended(task: asyncio.Task[None]) -> None:
    done, _ = await asyncio.wait([task], timeout=30)
    if not done:
        task.cancel()
    elif not task.cancelled() and (error := task.exception()) is not None:
        log.error("a background task failed: %s", error)


def _fresh(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:12]}"


__all__: Sequence[str] = ("FinAgentOrchestrator",)
