"""`finagent up`: the whole system as processes on this machine, until it is asked to stop."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.cli.exits import OK
from infra.cli.options import FOLDER, LOCAL, Config, Kafka, Prefix, Redis, settings_of
from infra.cli.orchestrator import Mode
from infra.cli.output import say, table
from infra.cli.status import status_of
from infra.cli.stopping import until_stopped
from infra.processes import Processes, processes
from infra.services import (
    kafka_login,
    kafka_status,
    redis_login,
    redis_status,
    start_kafka,
    start_redis,
    stop_kafka,
    stop_redis,
)
from orchestrator.credentials import FILE
from orchestrator.settings import Settings
from orchestrator.wiring import pools_of
from streams.errors import ServiceError
from streams.retrying import set_within

READY_S = 60.0
_CHECK_S = 0.5


@dataclass(frozen=True)
class _Asked:
    config: Path | None
    mode: str | None
    prefix: str | None


def up(
    mode: Mode = None, config: Config = None, kafka: Kafka = None, redis: Redis = None, prefix: Prefix = None
) -> None:
    """Run the orchestrator and every enabled pool as processes, with local Kafka and Redis where none are named."""
    # The context managers below stop what they started, whatever ends this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(OK))
    named = ["" if given == LOCAL else given for given in (kafka, redis)]
    settings = settings_of(config, named[0], named[1], prefix, mode=mode)
    asked = _Asked(config, mode, prefix)
    with _kafka(settings.kafka.bootstrap) as cluster, _redis(settings.redis.url) as store:
        complete = settings_of(config, cluster, store, prefix, mode=mode)
        with processes(FOLDER / "logs", environment_of(complete)) as children:
            until_stopped(lambda stop: _run(complete, asked, children, stop))
            say("stopping")


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the variables that lead child processes to the same Kafka and Redis."""
    kafka, redis = settings.kafka, settings.redis
    return {
        "FINAGENT_KAFKA__BOOTSTRAP": kafka.bootstrap,
        "FINAGENT_KAFKA__PREFIX": kafka.prefix,
        "FINAGENT_KAFKA__SECURITY_PROTOCOL": kafka.security_protocol,
        "FINAGENT_KAFKA__SSL_CA_FILE": kafka.ssl_ca_file,
        "FINAGENT_REDIS__URL": redis.url,
        "FINAGENT_REDIS__SSL_CA_FILE": redis.ssl_ca_file,
        "FINAGENT_LOG_LEVEL": settings.log_level,
    }


def logins_of(settings: Settings, component: str) -> dict[str, str]:
    """Return how a component proves itself to the secure Kafka and Redis of this machine; nothing for any others."""
    kafka, redis = kafka_status(FOLDER / "kafka"), redis_status(FOLDER / "redis")
    found = kafka_login(kafka, component) if kafka and kafka.bootstrap == settings.kafka.bootstrap else {}
    found |= redis_login(redis) if redis and redis.url == settings.redis.url else {}
    # A password that this program has itself must not stand beside the file of another.
    return found | {name.removesuffix(FILE): "" for name in found if name.endswith(FILE)}


async def _run(settings: Settings, asked: _Asked, children: Processes, stop: asyncio.Event) -> None:
    shared = ["--config", str(asked.config)] if asked.config else []
    commands = {"orchestrator": ["orchestrator", "--mode", settings.mode]}
    commands |= {pool.name: ["pool", pool.name] for pool in pools_of(settings)}
    for name, command in {**commands, "memory": ["memory"]}.items():
        children.start(name, [*command, *shared], logins_of(settings, name))
    say(f"starting {len(children.running)} processes on Kafka at {settings.kafka.bootstrap}")
    if await _healthy(settings, children, stop):
        rows = [(name, str(process.pid), children.log(name)) for name, process in children.running.items()]
        table("Running; Ctrl-C stops them", ("process", "pid", "log"), rows)
    while not await set_within(stop, _CHECK_S):
        children.check()


async def _healthy(settings: Settings, children: Processes, stop: asyncio.Event) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + READY_S
    while not stop.is_set():
        children.check()
        health = await status_of(settings)
        if health["status"] == "healthy":
            return True
        if loop.time() > deadline:
            raise ServiceError(f"not healthy within {READY_S:g} s: {'; '.join(health['reasons'])}")
        await set_within(stop, _CHECK_S)
    return False


@contextmanager
def _kafka(named: str) -> Iterator[str]:
    with ExitStack() as stack:
        if not named:
            folder = FOLDER / "kafka"
            known = kafka_status(folder)
            if known is None or not any(node.alive for node in known.brokers):
                stack.callback(stop_kafka, folder)
            start_kafka(folder, len(known.brokers) if known else 1)
        yield named or LOCAL


@contextmanager
def _redis(named: str) -> Iterator[str]:
    with ExitStack() as stack:
        if not named:
            folder = FOLDER / "redis"
            known = redis_status(folder)
            if known is None or not known.alive:
                stack.callback(stop_redis, folder)
            start_redis(folder)
        yield named or LOCAL
