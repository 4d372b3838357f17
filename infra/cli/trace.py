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

from infra.cli.connection import connected, speaking
from infra.cli.options import Config, Json, Kafka, Prefix, settings_of
from orchestrator import trace as tracing
from orchestrator.settings import Settings
from orchestrator.trace import Link
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
    settings = settings_of(config, kafka, prefix=prefix)
    links = asyncio.run(_of_file(log, wanted) if log or not settings.kafka.bootstrap else _of_kafka(settings, wanted))
    if as_json:
        typer.echo(json.dumps([_fields(link) for link in links]))
    elif sys.stdout.isatty():
        Console().print(_tree(links))
    else:
        typer.echo("\n".join(f"{'  ' * link.depth}{link.role}: {link.says}  {_place(link)}" for link in links))


async def _of_kafka(settings: Settings, wanted: str) -> list[Link]:
    async with connected(settings) as broker:
        return await tracing.trace(*await speaking(settings, broker, ()), wanted)


async def _of_file(log: Path | None, wanted: str) -> list[Link]:
    if log is None and not DEMO_LOG.is_file():
        raise ConfigError(f"no log at {DEMO_LOG}: run `finagent demo` first, or give --log FILE or --kafka HOST:PORT")
    return await tracing.trace(MemoryBroker.load(log or DEMO_LOG), Serde(), wanted)


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
