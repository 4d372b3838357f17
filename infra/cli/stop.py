"""`finagent stop`: take a run off the data plane."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from infra.cli.connection import connected, make_topics
from infra.cli.operating import operator
from infra.cli.options import Config, Json, Kafka, Prefix, settings_of
from infra.cli.output import as_json, say
from orchestrator.controls import WAIT_S
from orchestrator.settings import Settings


def stop(
    run_id: Annotated[str, typer.Argument(help="As `finagent status` shows it.")],
    reason: Annotated[str, typer.Option(help="Why.")] = "stopped by user",
    wait: Annotated[float, typer.Option(help="Seconds to wait for the slice that ends its orders.", min=0)] = WAIT_S,
    config: Config = None,
    kafka: Kafka = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Stop a run's decisions and cancel its open orders; its positions stay as they are."""
    told = asyncio.run(_stop(settings_of(config, kafka, None, prefix), run_id, reason, wait))
    if json:
        as_json(told)
    elif told["pending"]:
        say(f"run {run_id} is stopped; open orders it may have are canceled with the next slice: none came in time")
    else:
        say(f"run {run_id} is stopped; open orders canceled: {told['canceled']}")


async def _stop(settings: Settings, run_id: str, reason: str, wait_s: float) -> dict[str, Any]:
    async with connected(settings) as broker:
        await make_topics(settings, broker)
        async with operator(settings, broker) as controls:
            return await controls.stop(run_id, reason, wait_s)
