"""`finagent pool`: one pool's tasks as a process of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.pool import AgentPool
from infra.cli.options import Config, Kafka, Prefix, Redis, need_kafka, settings_of
from infra.cli.serving import serve
from infra.cli.stopping import until_stopped
from orchestrator.imports import imported_pool
from orchestrator.settings import Settings
from orchestrator.wiring import kinds_of, pool_of


def pool(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|MODULE:ATTR",
            help="data, alpha, portfolio, risk, transaction-cost or execution; or an AgentPool of your own.",
        ),
    ],
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    prefix: Prefix = None,
) -> None:
    """Run the tasks of one pool until SIGTERM or Ctrl-C, then drain."""
    settings = settings_of(config, kafka, redis, prefix)
    found = found_pool(name, settings)
    need_kafka(settings)
    until_stopped(lambda stop: serve(settings, kinds_of(found), f"pool {found.name}", stop))


def found_pool(name: str, settings: Settings) -> AgentPool:
    """Return a built-in pool, or the one that module:attr names; raise ConfigError where there is none."""
    return imported_pool(name) if ":" in name else pool_of(name, settings)
