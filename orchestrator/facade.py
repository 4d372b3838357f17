"""The facade that programs use: FinAgentOrchestrator."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import psutil

from agents.data.feed import Feed
from agents.data.realtime import rows_of
from agents.data.sources import open_providers
from agents.mcp.pool import McpPool, watch
from agents.memory.availability import Availability
from agents.memory.reader import Memory
from agents.pool import SUFFIX, AgentPool
from orchestrator.client import Client
from orchestrator.controls import WAIT_S, Operator
from orchestrator.enrolment import enrolled
from orchestrator.health import health_of
from orchestrator.heartbeat import HEARTBEAT, beat, reports
from orchestrator.load import CpuLoad, MemoryWatch, process_report
from orchestrator.otel import traced
from orchestrator.planner import workflow_from_dict
from orchestrator.policies import publish
from orchestrator.results import strategy_result, workflow_result
from orchestrator.settings import Settings, load
from orchestrator.strategy import RL, TradingStrategy
from orchestrator.wiring import (
    all_kinds,
    broker_of,
    context_of,
    kinds_of,
    partitions_of,
    pool_of,
    pools_of,
    retention_of,
    snapshots_of,
    store_of,
)
from rl.config import RLConfiguration
from schemas import ExecuteStrategy, Instrument, StartStrategy, StrategyStarted, Workflow
from streams.broker import Broker
from streams.clock import Clock, WallClock
from streams.errors import ConfigError, FinAgentError, StoreError, UnknownSymbol, WorkflowError
from streams.host import Host, TaskKind, create_topology
from streams.serde import Serde
from streams.slices import FEED
from streams.store import Store
from streams.topics import changelog

if TYPE_CHECKING:
    from rl.outcome import Outcome
    from rl.training import Progress

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
        self._rl_config: RLConfiguration | None = None
        self._deciding = False
        self._trainings: set[asyncio.Task[tuple[Outcome, dict[str, Any]]]] = set()
        self._cpu = CpuLoad()
        self._availability = Availability()
        self._memory = MemoryWatch(self.settings.observability.high_memory_gb)

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
        self._stack.enter_context(traced(self.settings))
        await self._broker.start()
        self._stack.push_async_callback(self._broker.stop)
        try:
            await self._store.start()
            self._stack.push_async_callback(self._store.stop)
        except StoreError as error:
            self._availability.lost(HEARTBEAT, error)
        pools = [*pools_of(self.settings), *self._custom]
        memory = Memory(self._store)
        context, retention = context_of(self.settings, self._custom), retention_of(self.settings)
        kinds = all_kinds(pools, context, memory, retention=retention)
        await create_topology(self._broker, self.partitions, kinds)
        # On Kafka the other pools are processes of their own; those of this program's own run here.
        custom = [kind for pool in self._custom for kind in kinds_of(pool, memory)]
        changelogs = [changelog(FEED), *(changelog(kind.name) for kind in custom)]
        self._broker, self.serde = await enrolled(self.settings, self._broker, changelogs=changelogs)
        own = custom if self.settings.kafka.bootstrap else kinds
        if own:
            self._host = self._hosting(own)
            beating = beat(self._host, self._store, self.clock, memory=self._memory, availability=self._availability)
            for work in (self._host.run(), beating):
                self._stack.push_async_callback(_ended, asyncio.create_task(work))
            self._stack.callback(self._host.stop.set)
            watching = asyncio.create_task(watch(self._custom if self.settings.kafka.bootstrap else pools))
            self._stack.callback(watching.cancel)
        self._client = await self._stack.enter_async_context(
            Client.open(self._broker, self.serde, self.clock, retention)
        )

    def _hosting(self, kinds: Sequence[TaskKind]) -> Host:
        snapshots = snapshots_of(self.settings, self._store)
        return Host(self._broker, kinds, self.partitions, self.clock, self.serde, snapshots=snapshots)

    @property
    def broker(self) -> Broker:
        """Return the broker; raise ConfigError before initialize."""
        self._connected()
        return self._broker

    @property
    def client(self) -> Client:
        """Return the client of the control plane; raise ConfigError before initialize."""
        return self._connected()

    @property
    def store(self) -> Store:
        """Return the store of shared state; raise ConfigError before initialize."""
        self._connected()
        return self._store

    def _connected(self) -> Client:
        if self._client is None:
            raise ConfigError("the orchestrator is not initialized; call `await orchestrator.initialize()` first")
        return self._client

    def register_agent_pool(
        self, pool: AgentPool | None = None, *, pool_name: str = "", endpoint_url: str = ""
    ) -> None:
        """Add a pool of one's own, before initialize: an AgentPool, or by name and URL a pool that is an MCP server.

        Raises ConfigError for a name that is taken, and where the orchestrator is initialized.
        """
        if pool is None:
            if not pool_name or not endpoint_url:
                raise ConfigError("register an AgentPool, or name both pool_name and endpoint_url")
            pool = McpPool(pool_name.removesuffix(SUFFIX), url=endpoint_url)
        if self._client is not None:
            raise ConfigError(f"register pool {pool.name!r} before initialize")
        if pool.address in {each.address for each in [*pools_of(self.settings), *self._custom]}:
            raise ConfigError(f"there is a pool {pool.address!r} already")
        self._custom.append(pool)

    @property
    def registered(self) -> tuple[AgentPool, ...]:
        """Return the pools that were registered."""
        return tuple(self._custom)

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
        await client.until(lambda: name in client.accounts, f"run {name!r} to be announced")
        if name not in client.runs:
            raise WorkflowError(f"run {name!r} was stopped as it began")
        return client.runs[name]

    async def stop_strategy(
        self, run_id: str, reason: str = "stopped by user", *, wait_s: float = WAIT_S
    ) -> dict[str, Any]:
        """Take a run off the data plane, also one that is still starting, and cancel its open orders; positions stay.

        Orders end with the next slice. Where this object has the feed, an empty one follows at once, else this waits up
        to wait_s for one. Returns run_id, canceled (open orders that ended), slice (ns UTC) and pending: true where no
        slice came, so that its open orders work on until one does. Raises UnknownWorkflow for what is no run.
        """
        return await self._operator().stop(run_id, reason, wait_s)

    async def cancel_workflow(self, workflow_id: str, reason: str = "cancelled by user") -> dict[str, Any]:
        """Cancel a workflow that runs, and return what it came to once it has ended, as execute_workflow does.

        One that had ended stays as it is: a run that it started is stopped by stop_strategy. Raises UnknownWorkflow.
        """
        return workflow_result(await self._operator().cancel(workflow_id, reason))

    async def set_kill_switch(
        self, account_id: str, active: bool, reason: str, *, wait_s: float = WAIT_S
    ) -> dict[str, Any]:
        """Halt an account, or release it; the word holds until the next one, also over restarts.

        It takes effect with the next slice. Where this object has the feed, an empty one follows at once, else this
        waits up to wait_s for one. Returns account_id, active, reason, canceled (open orders that ended), slice (ns
        UTC) and pending: true where risk has not taken it yet, because no slice came or no run has opened the account;
        the word is on the log then, and counts from the first slice on. Raises UnknownAccount where no run used it.
        """
        return (await self.set_kill_switches([account_id], active, reason, wait_s=wait_s))[0]

    async def set_kill_switches(
        self, account_ids: Sequence[str], active: bool, reason: str, *, wait_s: float = WAIT_S
    ) -> list[dict[str, Any]]:
        """Halt several accounts, or release them, as set_kill_switch does one."""
        return await self._operator().set_kill_switches(account_ids, active, reason, wait_s)

    def _operator(self) -> Operator:
        client = self._connected()
        return Operator(self._broker, self.serde, self.clock, self.partitions, client, self._feed)

    async def _ended(self, workflow_id: str) -> Workflow:
        workflow = await self._connected().wait(workflow_id, WORKFLOW_TIMEOUT_S)
        self._executed.append(workflow.status == "completed")
        return workflow

    async def initialize_rl_engine(self, config: RLConfiguration | None = None) -> None:
        """Take the configuration of the trainings to come, rl_engine's of the settings unless given; start the RL pool.

        The pool decides, in this process, for strategies of strategy_type rl. Raises ConfigError where
        orchestrator.enable_rl is false.
        """
        self._connected()
        if not self.settings.orchestrator.enable_rl:
            raise ConfigError(
                "orchestrator.enable_rl is false: training and strategies of the RL pool are switched off"
            )
        self._rl_config = config or self.settings.rl_engine.configuration()
        if not self._deciding:
            self._deciding = True
            await self._start_rl_pool()

    async def _start_rl_pool(self) -> None:
        """Run the RL pool here, unless the settings have it run with the others."""
        if any(pool.name == RL for pool in pools_of(self.settings)):
            return
        kinds = kinds_of(pool_of(RL, self.settings))
        await create_topology(self._broker, self.partitions, kinds)
        host = self._hosting(kinds)
        for work in (host.run(), beat(host, self._store, self.clock, availability=self._availability)):
            self._stack.push_async_callback(_ended, asyncio.create_task(work))
        self._stack.callback(host.stop.set)

    async def train_rl_policy(
        self, config: Mapping[str, Any], *, on_progress: Callable[[Progress], None] | None = None
    ) -> dict[str, Any]:
        """Train a policy, judge it on sessions that it has not seen, and publish it for the RL pool.

        config: training_episodes or steps, symbols, start_date, end_date, and what docs/rl.md lists: reward (a
        RewardFunction, or a configuration), costs, split, ... on_progress is called on the event loop now and then.
        Returns status, final_performance (of the test part, net of costs), episodes_completed, final_reward,
        training_id, policy_id, version, sha256, baselines, convergence, and where it all comes from. Cancelling it, and
        shutdown, end the training with a checkpoint left, and nothing is published. Raises ConfigError for a wrong key
        or value, UnknownSymbol, MissingData where the sessions are not all there.
        """
        self._connected()
        if self._rl_config is None:
            raise ConfigError("call `await orchestrator.initialize_rl_engine(...)` before a training")
        from orchestrator.learning import PolicyTraining

        training = PolicyTraining(config, self._rl_config, self.settings, on_progress)
        running = asyncio.create_task(training.run())
        self._trainings.add(running)
        try:
            outcome, result = await running
        except asyncio.CancelledError:
            asking = asyncio.current_task()
            if asking is None or asking.cancelling():
                raise
            raise WorkflowError("the training was stopped by a shutdown; its checkpoint is left") from None
        finally:
            running.cancel()
            self._trainings.discard(running)
        policy = await publish(self._broker, self.serde, self.clock, outcome.policy, result["training_id"])
        return {**result, "policy_id": policy.policy_id, "version": policy.version, "sha256": policy.sha256}

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
        own = process_report([], self._memory, self.clock.now())
        return await health_of(self.settings, self._broker, self._store, self._host, self.clock, own)

    async def task_reports(self) -> list[dict[str, Any]]:
        """Return what each task last told of its progress: rows handled and dead-lettered, the last slice."""
        self._connected()
        return await reports(self._store)

    async def get_performance_metrics(self) -> dict[str, Any]:
        """Return this process's load (fractions in 0..1) and what it executed."""
        workflows = self._client.workflows.values() if self._client else ()
        done = self._executed
        return {
            "cpu_usage": await self._cpu.fraction(),
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

    async def start_server(self) -> None:
        """Serve the REST API and the dashboard where the settings say, until it is asked to stop; then shut down.

        Raises ConfigError where the address is not loopback and FINAGENT_API_KEY is not set.
        """
        from infra.server.serving import serve

        await serve(self)

    async def shutdown(self) -> None:
        """Let running work commit, stop every task, release every connection; calling it again does nothing."""
        for training in self._trainings:
            training.cancel()
        if self._trainings:
            await asyncio.wait(self._trainings)
        stack, self._stack = self._stack, AsyncExitStack()
        self._client = self._feed = self._rl_config = None
        self._deciding = False
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
