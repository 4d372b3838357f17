"""Heartbeats: each process tells the store how far its tasks are; losing the store degrades and never stops work."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from streams.clock import Clock
from streams.errors import StoreError
from streams.host import Host
from streams.store import Store
from streams.task import Task

log = logging.getLogger("FinAgentOrchestrator")
PREFIX = "task:"
TTL_S = 10.0
"""A task that has been silent for this long counts as gone."""


async def beat(host: Host, store: Store, clock: Clock, every_s: float = 0.5) -> None:
    """Write the state of the host's tasks until the host stops."""
    await _tell(lambda: [report(task, clock) for task in list(host.tasks.values())], store, host.stop, every_s)


async def beat_process(
    pool: str, handled: Callable[[], int], store: Store, clock: Clock, stop: asyncio.Event, every_s: float = 0.5
) -> None:
    """Tell of a process that has no tasks of its own, such as the orchestrator's engine, until stop is set."""
    task = f"{pool}.{uuid.uuid4().hex[:8]}"  # several processes may do the same work

    def found() -> list[dict[str, Any]]:
        done = {"events": handled()}
        own = {"task": task, "pool": pool, "partition": 0, "slice": -1, "handled": done, "dead_letters": {}}
        return [{**own, "updated": clock.now()}]

    await _tell(found, store, stop, every_s)


async def _tell(found: Callable[[], list[dict[str, Any]]], store: Store, stop: asyncio.Event, every_s: float) -> None:
    available, told = True, dict[str, bytes]()
    while not stop.is_set():
        told = {PREFIX + each["task"]: json.dumps(each).encode() for each in found()}
        try:
            for key, value in told.items():
                await store.set(key, value, ttl_s=TTL_S)
            available = True
        except StoreError as error:
            if available:
                log.warning("Memory agent unavailable, running without persistence")
                log.debug("%s", error)
            available = False
            await _reconnect(store)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every_s)
    with suppress(StoreError):
        for key in told:
            await store.delete(key)


async def _reconnect(store: Store) -> None:
    with suppress(StoreError):
        await store.stop()
        await store.start()


def report(task: Task, clock: Clock) -> dict[str, Any]:
    """Return how far a task is."""
    meta = getattr(task, "meta", None)
    return {
        "task": task.id,
        "pool": task.processor.pool,
        "partition": task.partition,
        "slice": meta.frontier.slice if meta else -1,
        "handled": dict(meta.handled) if meta else {},
        "dead_letters": dict(meta.dead) if meta else {},
        "updated": clock.now(),
    }


async def reports(store: Store) -> list[dict[str, Any]]:
    """Return the latest reports of all tasks that are alive."""
    found = []
    for key in await store.scan(PREFIX):
        value = await store.get(key)
        if value is not None:
            found.append(json.loads(value))
    return found
