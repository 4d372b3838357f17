"""`finagent replay`: republish a part of the log under a run's own prefix."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from infra.cli.connection import connected, speaking
from infra.cli.feed_times import end_ns, start_ns
from infra.cli.options import Config, Json, Kafka, Prefix, need_kafka, settings_of
from infra.cli.output import as_json, say
from orchestrator.republish import Range, republish
from orchestrator.settings import Settings
from streams.clock import WallClock


def replay(
    run_id: Annotated[str, typer.Argument(help="Names the copy: topics bt.RUN_ID.ticks, bt.RUN_ID.bars ...")],
    start: Annotated[str, typer.Option(help="First slice, ISO date or time.")] = "",
    end: Annotated[str, typer.Option(help="Last date (included), or time, ISO.")] = "",
    start_offset: Annotated[int | None, typer.Option(help="First offset on bars, partition 0.", min=0)] = None,
    end_offset: Annotated[int | None, typer.Option(help="Offset on bars, partition 0, to stop before.", min=0)] = None,
    speed: Annotated[float, typer.Option(help="Event time per real time; 0: as fast as possible.", min=0)] = 0.0,
    commands: Annotated[bool, typer.Option("--commands", help="Republish the commands too.")] = False,
    config: Config = None,
    kafka: Kafka = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Republish ticks and bars, slice by slice, under bt.RUN_ID.: for a backtest, or for pools with that --prefix."""
    settings = settings_of(config, kafka, None, prefix)
    need_kafka(settings)
    bounds = (start_ns(start) if start else None, end_ns(end) if end else None)
    wanted = Range(run_id, *bounds, start_offset, end_offset, speed=speed, commands=commands)
    slices, records = asyncio.run(_replay(settings, wanted))
    if json:
        as_json(
            {"run_id": run_id, "prefix": settings.kafka.prefix + wanted.prefix, "slices": slices, "records": records}
        )
    else:
        say(f"republished {slices:,} slices, {records:,} records, under {settings.kafka.prefix}{wanted.prefix}")


async def _replay(settings: Settings, wanted: Range) -> tuple[int, int]:
    async with connected(settings) as broker:
        broker, serde = await speaking(settings, broker, ())
        return await republish(broker, serde, WallClock(), wanted)
