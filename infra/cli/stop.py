"""`finagent stop`: take a run off the data plane."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from infra.cli.connection import connected, make_topics
from infra.cli.options import Config, Kafka, Prefix, settings_of
from infra.cli.output import say
from orchestrator.client import Client
from orchestrator.settings import Settings
from orchestrator.wording import unknown
from schemas import StopStrategy
from streams.clock import WallClock
from streams.errors import ConfigError
from streams.serde import Serde


def stop(
    run_id: Annotated[str, typer.Argument(help="As `finagent status` shows it.")],
    reason: Annotated[str, typer.Option(help="Why.")] = "stopped by user",
    config: Config = None,
    kafka: Kafka = None,
    prefix: Prefix = None,
) -> None:
    """Stop a run's decisions; its positions stay as they are."""
    asyncio.run(_stop(settings_of(config, kafka, None, prefix), run_id, reason))
    say(f"run {run_id} is stopped")


async def _stop(settings: Settings, run_id: str, reason: str) -> None:
    async with connected(settings) as broker:
        await make_topics(settings, broker)
        async with Client.open(broker, Serde(), WallClock()) as client:
            if run_id not in client.runs:
                raise ConfigError(unknown("active run", run_id, client.runs))
            now = WallClock().now()
            await client.submit(StopStrategy(workflow_id=run_id, ts_event=now, run_id=run_id, reason=reason))
            await client.until(lambda: run_id not in client.runs, f"run {run_id!r} to stop; is an orchestrator alive?")
