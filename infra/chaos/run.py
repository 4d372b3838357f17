"""One run: the undisturbed one, then the same input on a cluster that is broken again and again, then the verdict."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from infra.chaos.brokers import Brokers
from infra.chaos.driver import Driver
from infra.chaos.folder import Folder
from infra.chaos.market import PARTITIONS, Market, market_of
from infra.chaos.memory import Memory
from infra.chaos.plan import Fault, plan_of
from infra.chaos.progress import Progress
from infra.chaos.reading import Log, places_of, read_log
from infra.chaos.reference import undisturbed
from infra.chaos.report import Counts, Report, machine, versions
from infra.chaos.rounds import fault_round, regular_round, regular_rounds
from infra.chaos.striking import Striker
from infra.chaos.supervisor import Supervisor
from infra.chaos.uncommitted import aborted_ids
from infra.chaos.verdict import Verdict, judge
from orchestrator.enrolment import enrolled
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings, load
from orchestrator.wiring import broker_of
from schemas import ExecuteWorkflow
from streams.broker import Broker
from streams.retrying import retried
from streams.serde import Serde

log = logging.getLogger("finagent.chaos")


@dataclass(frozen=True)
class Asked:
    """What is to be run."""

    seed: int
    faults: int
    slices: int
    instruments: int
    """Of which each slice has a bar."""


@dataclass(frozen=True)
class Input:
    """All that a run is given; the same for what was asked."""

    asked: Asked
    market: Market
    plan: Sequence[Fault]
    commands: Sequence[ExecuteWorkflow]

    @classmethod
    def of(cls, asked: Asked) -> Input:
        """Make the input."""
        plan = plan_of(asked.seed, asked.faults, asked.slices)
        rounds = [fault_round(asked.seed, fault.number) for fault in plan]
        rounds += [regular_round(asked.seed, due) for due in (0, *regular_rounds(asked.slices), asked.slices)]
        commands = [command for each in rounds for command in each]
        return cls(asked, market_of(asked.seed, asked.slices, asked.instruments), plan, commands)


@dataclass(frozen=True)
class _System:
    """All that takes part in a run on the cluster."""

    brokers: Brokers
    supervisor: Supervisor
    observer: Broker
    serde: Serde
    progress: Progress
    driver: Driver
    striker: Striker


async def run(asked: Asked, folder: Folder, watch: Callable[[str], None]) -> Report:
    """Run all of it in a folder; watch is told how far it is."""
    given, started = Input.of(asked), datetime.now(UTC)
    watch(f"the undisturbed run of {asked.slices} slices")
    expected = await undisturbed(given.market, given.commands)
    watch("starting 3 brokers, Redis and 14 processes")
    async with _system(given, folder) as system:
        await system.driver.begin()
        stuck = await _driven(system, watch)
        watch("reading the log")
        found = await read_log(system.observer, system.serde)
        places = await places_of(system.observer)
        aborted, only_aborted = await aborted_ids(system.brokers.for_observers, places, found)
        # Before the processes are asked to stop, which is no end by itself.
        report = _report(given, started, system, _counts(given, system.progress, found, aborted))
    return report.model_copy(update={"verdict": judge(expected, found, stuck, only_aborted)})


@asynccontextmanager
async def _system(given: Input, folder: Folder) -> AsyncIterator[_System]:
    """Start everything, and stop it at the end of the block."""
    async with AsyncExitStack() as stack:
        brokers = await stack.enter_async_context(Brokers.running(folder.brokers))
        memory = await stack.enter_async_context(Memory.running(folder.redis))
        settings = settings_of(brokers.for_clients, memory.service.url)
        supervising = Supervisor.running(folder.logs, environment_of(settings), given.asked.seed)
        supervisor = await stack.enter_async_context(supervising)
        client = FinAgentOrchestrator(settings=settings)
        stack.push_async_callback(client.shutdown)
        # A cluster that has just been formed may refuse its first writes, as any program that is to stay has to know.
        await retried("the client", client.initialize, asyncio.Event())
        observer, serde = await _observer(brokers, stack)
        progress = await stack.enter_async_context(Progress.following(observer, serde, given.market.times))
        driver = Driver(given.market, client, progress, given.plan)
        striker = Striker(progress, supervisor, brokers, memory, driver.answer)
        yield _System(brokers, supervisor, observer, serde, progress, driver, striker)


def _counts(given: Input, progress: Progress, found: Log, aborted: int) -> Counts:
    return Counts(
        slices=progress.done,
        bars=sum(map(len, given.market.slices)),
        records=len(found.offsets),
        aborted_records=aborted,
        decisions=len(found.decisions),
        orders=found.orders,
        fills=found.fills,
        workflows=len(found.workflows),
    )


def _report(given: Input, started: datetime, system: _System, counts: Counts) -> Report:
    """Return a report whose verdict is still to come."""
    asked, progress, supervisor = given.asked, system.progress, system.supervisor
    return Report(
        seed=asked.seed,
        faults=asked.faults,
        slices=asked.slices,
        instruments=asked.instruments,
        data_source=given.market.source,
        synthetic=True,
        config=dict(supervisor.environment),
        versions=versions(),
        machine=machine(),
        started=f"{started:%Y-%m-%dT%H:%M:%SZ}",
        seconds=progress.seconds,
        longest_pause_s=progress.longest_pause(progress.began, progress.began + progress.seconds),
        counts=counts,
        outcomes=tuple(sorted(system.striker.outcomes, key=lambda outcome: outcome.at_s)),
        endings=tuple(supervisor.endings),
        starts=supervisor.starts,
        verdict=Verdict(findings=()),
        notes=tuple(system.driver.notes),
    )


async def _driven(system: _System, watch: Callable[[str], None]) -> list[str]:
    """Drive and strike until everything is done; return what is stuck, if anything."""
    work = asyncio.create_task(system.driver.drive(system.striker))
    stalled = asyncio.create_task(system.driver.stalled(system.striker, watch))
    try:
        await asyncio.wait([work, stalled], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            await work
            return []
        return await stalled
    finally:
        for task in (work, stalled):
            task.cancel()
        await asyncio.gather(work, stalled, return_exceptions=True)


async def _observer(brokers: Brokers, stack: AsyncExitStack) -> tuple[Broker, Serde]:
    settings = settings_of(brokers.for_observers, "")
    broker = broker_of(settings)
    await broker.start()
    stack.push_async_callback(broker.stop)
    return await enrolled(settings, broker)


def settings_of(bootstrap: str, redis_url: str) -> Settings:
    """Return the settings of every program that takes part."""
    partitions = dict.fromkeys(("account", "instrument", "workflow"), PARTITIONS)
    kafka = {"bootstrap": bootstrap, "partitions": partitions, "replication": 3}
    return load(overrides={"kafka": kafka, "redis": {"url": redis_url}, "log_level": "WARNING"}, environ={})


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the variables that give processes these settings."""
    kafka = settings.kafka
    return {
        "FINAGENT_KAFKA__BOOTSTRAP": kafka.bootstrap,
        "FINAGENT_KAFKA__REPLICATION": str(kafka.replication),
        **{
            f"FINAGENT_KAFKA__PARTITIONS__{family.upper()}": str(getattr(kafka.partitions, family))
            for family in ("account", "instrument", "workflow")
        },
        "FINAGENT_REDIS__URL": settings.redis.url,
        "FINAGENT_LOG_LEVEL": "INFO",
    }
