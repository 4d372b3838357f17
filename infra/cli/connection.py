"""Connections of a command: to Kafka, waiting for it to come up, and to the store, which may be away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import typer

from infra.cli.exits import OK
from infra.cli.options import need_kafka
from orchestrator.enrolment import enrolled
from orchestrator.otel import traced
from orchestrator.settings import Settings
from orchestrator.wiring import all_kinds, broker_of, context_of, partitions_of, pools_of, store_of
from streams.broker import Broker
from streams.errors import BrokerError, RegistryError, StoreError
from streams.host import TaskKind, create_topology
from streams.retrying import set_within
from streams.serde import Serde
from streams.store import Store
from streams.topics import changelog

log = logging.getLogger("finagent.cli")
PATIENCE_S = 30.0
"""How long a program that is to stay waits for a Kafka that is not up yet."""
_AGAIN_S = 0.5
T = TypeVar("T")


@asynccontextmanager
async def connected(
    settings: Settings, stop: asyncio.Event | None = None, patience_s: float = 0.0
) -> AsyncIterator[Broker]:
    """Connect to Kafka; raise ConfigError where the settings name none, BrokerError where none answers in time."""
    need_kafka(settings)
    broker = broker_of(settings)
    with traced(settings):
        await _patiently(broker.start, f"Kafka at {settings.kafka.bootstrap}", stop, patience_s)
        try:
            yield broker
        finally:
            await broker.stop()


async def make_topics(
    settings: Settings,
    broker: Broker,
    kinds: Sequence[TaskKind] = (),
    stop: asyncio.Event | None = None,
    patience_s: float = 0.0,
) -> None:
    """Create the topics of the whole system and of these tasks, where they are missing; in any order of starts."""
    wanted = [*all_kinds(pools_of(settings), context_of(settings)), *kinds]

    async def make() -> None:
        await create_topology(broker, partitions_of(settings), wanted)

    await _patiently(make, "the topics", stop, patience_s)


async def speaking(
    settings: Settings,
    broker: Broker,
    topics: Collection[str] | None = None,
    tasks: Collection[str] = (),
    stop: asyncio.Event | None = None,
    patience_s: float = 0.0,
) -> tuple[Broker, Serde]:
    """Return the broker to read with and the serde of a process: topics it writes, None for all; names of its tasks."""
    changelogs = list(map(changelog, tasks))

    async def ask() -> tuple[Broker, Serde]:
        return await enrolled(settings, broker, topics, changelogs)

    return await _patiently(ask, "the schemas to be told", stop, patience_s)


@asynccontextmanager
async def memory(settings: Settings) -> AsyncIterator[Store]:
    """Connect to the store; without it heartbeats say so, and work goes on."""
    store = store_of(settings)
    try:
        await store.start()
    except StoreError as error:
        log.debug("%s", error)
    try:
        yield store
    finally:
        await store.stop()


async def _patiently(call: Callable[[], Awaitable[T]], what: str, stop: asyncio.Event | None, patience_s: float) -> T:
    stop, loop = stop or asyncio.Event(), asyncio.get_running_loop()
    deadline, told = loop.time() + patience_s, False
    while True:
        try:
            return await call()
        except BrokerError as error:
            if loop.time() >= deadline and isinstance(error, RegistryError):
                raise
            if loop.time() >= deadline:
                raise BrokerError(f"{error}: start one with `finagent broker start`, or correct the address") from error
            if not told:
                log.warning("waiting up to %g s for %s", patience_s, what)
            told = True
        if await set_within(stop, _AGAIN_S):
            raise typer.Exit(OK)
