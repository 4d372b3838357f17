"""`finagent mcp`: the orchestrator's tools over stdio."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from infra.cli.options import Config, Kafka, Prefix, Redis, settings_of
from infra.cli.stopping import until_stopped
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings


def mcp(
    url: Annotated[str, typer.Option(help="A running server's; without it a system of this process's own.")] = "",
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    prefix: Prefix = None,
) -> None:
    """Serve the orchestrator's tools to the MCP client that started this process."""
    settings = settings_of(config, kafka, redis, prefix)
    until_stopped(lambda stop: _remote(url, stop) if url else _own(settings, stop))


async def _remote(url: str, stop: asyncio.Event) -> None:
    from infra.mcp.serving import over_stdio, remote
    from infra.server.auth import KEY_VARIABLE

    async with remote(url, os.environ.get(KEY_VARIABLE, "")) as server:
        await over_stdio(server, stop)


async def _own(settings: Settings, stop: asyncio.Event) -> None:
    from infra.mcp.serving import over_stdio, own
    from infra.server.app import create_app

    app = create_app(FinAgentOrchestrator(settings=settings))
    async with own(app, "", settings.orchestrator.host) as server:
        await over_stdio(server, stop)
