"""`finagent orchestrator`: the control plane, or without Kafka the whole system in one process."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated

import typer

from infra.cli.connection import PATIENCE_S, connected, make_topics, memory, speaking
from infra.cli.exits import TASK_FAILED, task_failed
from infra.cli.options import Config, Kafka, Prefix, Redis, settings_of
from infra.cli.stopping import until_stopped
from infra.observability.exposition import own_page
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.faust_kept import TABLE
from orchestrator.heartbeat import Report, beat_process
from orchestrator.load import MemoryWatch
from orchestrator.recipes import ORCHESTRATOR
from orchestrator.settings import Settings
from streams.clock import WallClock
from streams.retrying import set_within

log = logging.getLogger("FinAgentOrchestrator")
_CHECK_S = 1.0

Mode = Annotated[str | None, typer.Option("--mode", help="development, production or sandbox.")]


def orchestrator(
    mode: Mode = None,
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    prefix: Prefix = None,
) -> None:
    """Run the orchestrator until SIGTERM or Ctrl-C, then drain; without Kafka, every pool with it in this process."""
    settings = settings_of(config, kafka, redis, prefix, mode=mode)
    until_stopped(lambda stop: _on_kafka(settings, stop) if settings.kafka.bootstrap else _embedded(settings, stop))


async def _on_kafka(settings: Settings, stop: asyncio.Event) -> None:
    # Here, because Faust reads the arguments of the process when it is imported.
    from orchestrator.faust_engine import engine_of

    async with connected(settings, stop, PATIENCE_S) as broker, memory(settings) as store:
        await make_topics(settings, broker, (), stop, PATIENCE_S)
        _, serde = await speaking(settings, broker, None, [TABLE], stop, PATIENCE_S)
        engine = engine_of(settings, serde)
        watch = MemoryWatch(settings.observability.high_memory_gb)
        beating = asyncio.create_task(
            beat_process(
                ORCHESTRATOR,
                lambda: engine.handled,
                store,
                WallClock(),
                stop,
                lag=engine.lag,
                counts=lambda: engine.counts,
                memory=watch,
            )
        )
        log.info("the orchestrator runs in mode %s on %s", settings.mode, settings.kafka.bootstrap)

        async def told() -> list[Report]:
            return [{"task": ORCHESTRATOR, "pool": ORCHESTRATOR, "slice": -1, "counts": engine.counts.as_dict()}]

        try:
            async with own_page(settings, told, WallClock()):
                await engine.run(stop)
        except Exception as error:
            raise task_failed(error) from error
        finally:
            stop.set()
            await beating
        log.info("the orchestrator has stopped")


async def _embedded(settings: Settings, stop: asyncio.Event) -> None:
    system = FinAgentOrchestrator(settings=settings)
    await system.initialize()
    log.info("no kafka.bootstrap: the whole system runs in this process, in mode %s, and ends with it", settings.mode)
    try:
        async with own_page(settings, system.task_reports, system.clock):
            await _watched(system, stop)
    finally:
        await system.shutdown()


async def _watched(system: FinAgentOrchestrator, stop: asyncio.Event) -> None:
    while not await set_within(stop, _CHECK_S):
        health = await system.get_health_status()
        if health["status"] == "critical":
            log.error("%s", "; ".join(health["reasons"]))
            raise typer.Exit(TASK_FAILED)
