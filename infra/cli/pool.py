"""`finagent pool`: one pool's tasks as a process of its own."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Annotated

import typer

from agents.pool import AgentPool
from infra.cli.options import Config, Kafka, Prefix, Redis, need_kafka, settings_of
from infra.cli.serving import serve
from infra.cli.stopping import until_stopped
from orchestrator.settings import Settings
from orchestrator.wiring import kinds_of, pool_of
from orchestrator.wording import unknown
from streams.errors import ConfigError


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
    if ":" not in name:
        return pool_of(name, settings)
    module_name, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"pool {name!r} cannot be imported from {os.getcwd()}: {error}") from error
    pools = {key: value for key, value in vars(module).items() if isinstance(value, AgentPool)}
    if attribute not in pools:
        raise ConfigError(f"{module_name}: {unknown('pool', attribute, pools)}")
    return pools[attribute]
