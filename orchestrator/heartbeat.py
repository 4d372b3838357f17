"""Heartbeats: each process tells the store how far its tasks are; losing the store degrades and never stops work."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
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
    available = True
    while not host.stop.is_set():
        try:
            for task in list(host.tasks.values()):
                await store.set(PREFIX + task.id, json.dumps(report(task, clock)).encode(), ttl_s=TTL_S)
            available = True
        except StoreError as error:
            if available:
                log.warning("Memory agent unavailable, running without persistence")
                log.debug("%s", error)
            available = False
        try:
            await asyncio.wait_for(host.stop.wait(), every_s)
        except TimeoutError:
            continue


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


def rows_handled(found: Iterable[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return rows handled by pool and topic, over all its tasks."""
    totals: dict[str, dict[str, int]] = {}
    for each in found:
        of_pool = totals.setdefault(each["pool"], {})
        for topic, rows in each["handled"].items():
            of_pool[topic] = of_pool.get(topic, 0) + rows
    return totals
