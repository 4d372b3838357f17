"""`finagent trace`: where a fill, an order, a denial or any other message came from."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from infra.cli.options import Config, Json, Kafka, Prefix, settings_of
from orchestrator import trace as tracing
from orchestrator.settings import Settings
from orchestrator.trace import Link
from orchestrator.wiring import broker_of
from streams.broker import Broker
from streams.errors import ConfigError
from streams.memory_broker import MemoryBroker
from streams.record import rfc3339
from streams.serde import Serde

DEMO_LOG = Path(".finagent") / "demo" / "log.avro"
"""Where `finagent demo` saves its log, relative to the working folder."""


def trace(
    wanted: Annotated[
        str, typer.Argument(metavar="ID", help="A message id, its beginning, a row id; or last: the last fill.")
    ],
    config: Config = None,
    kafka: Kafka = None,
    prefix: Prefix = None,
    log: Annotated[Path | None, typer.Option(help="A saved log; without it and Kafka, that of the last demo.")] = None,
    as_json: Json = False,
) -> None:
    """Show the chain behind a message: order, decision, signal, market-data rows, run, workflow and command."""
    links = asyncio.run(_traced(_broker(settings_of(config, kafka, prefix=prefix), log), wanted))
    if as_json:
        typer.echo(json.dumps([_fields(link) for link in links]))
    elif sys.stdout.isatty():
        Console().print(_tree(links))
    else:
        typer.echo("\n".join(f"{'  ' * link.depth}{link.role}: {link.says}  {_place(link)}" for link in links))


def _broker(settings: Settings, log: Path | None) -> Broker:
    if log is None and settings.kafka.bootstrap:
        return broker_of(settings)
    if log is None and not DEMO_LOG.is_file():
        raise ConfigError(f"no log at {DEMO_LOG}: run `finagent demo` first, or give --log FILE or --kafka HOST:PORT")
    return MemoryBroker.load(log or DEMO_LOG)


async def _traced(broker: Broker, wanted: str) -> list[Link]:
    await broker.start()
    try:
        return await tracing.trace(broker, Serde(), wanted)
    finally:
        await broker.stop()


def _fields(link: Link) -> dict[str, Any]:
    return {**asdict(link), "time": rfc3339(link.ts) if link.ts >= 0 else None}


def _place(link: Link) -> str:
    where = f"{link.topic}[{link.partition}]@{link.offset}" if link.topic else "not on the log"
    return f"({where}, {rfc3339(link.ts) if link.ts >= 0 else 'time unknown'}, id {link.message_id})"


def _tree(links: Sequence[Link]) -> Tree:
    root = Tree(_label(links[0]))
    branch = [root]
    for link in links[1:]:
        branch[link.depth :] = [branch[link.depth - 1].add(_label(link))]
    return root


def _label(link: Link) -> Text:
    return Text.assemble((link.role, "bold"), f": {link.says}\n", (_place(link), "dim"))
