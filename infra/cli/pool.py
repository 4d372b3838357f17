"""`finagent pool`: one pool's tasks as a process of its own."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from agents.mcp.pool import watch
from agents.memory.reader import Memory
from agents.pool import AgentPool
from infra.cli.connection import memory
from infra.cli.options import Config, Kafka, Prefix, Redis, need_kafka, settings_of
from infra.cli.serving import serve
from infra.cli.stopping import until_stopped
from orchestrator.imports import imported_pool
from orchestrator.settings import Settings
from orchestrator.wiring import kinds_of, pools_named


def pool(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|MODULE:ATTR",
            help="data, alpha, portfolio, risk, transaction-cost or execution; one that the settings give a url; or an "
            "AgentPool of your own.",
        ),
    ],
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    prefix: Prefix = None,
) -> None:
    """Run the tasks of one pool until SIGTERM or Ctrl-C, then drain."""
    settings = settings_of(config, kafka, redis, prefix)
    found = found_pools(name, settings)
    need_kafka(settings)

    async def run(stop: asyncio.Event) -> None:
        watching = asyncio.create_task(watch(found))
        try:
            async with memory(settings) as store:
                kinds = [kind for each in found for kind in kinds_of(each, Memory(store))]
                await serve(settings, kinds, f"pool {found[0].name}", stop)
        finally:
            watching.cancel()

    until_stopped(run)


def found_pools(name: str, settings: Settings) -> list[AgentPool]:
    """Return what runs under a name, or the pool that module:attr names; raise ConfigError where there is none."""
    return [imported_pool(name)] if ":" in name else pools_named(name, settings)
