"""Heartbeats: each process tells the store how far its tasks are; losing the store degrades and never stops work."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from agents.memory.availability import Availability
from orchestrator.load import MemoryWatch, process_id, process_report
from streams.clock import Clock
from streams.counts import Counts
from streams.errors import StoreError
from streams.host import Host
from streams.store import Store
from streams.task import Task

log = logging.getLogger("FinAgentOrchestrator")
PREFIX = "task:"
PROCESS = "process:"
SEEN = "seen:"
"""Stands before a kind of task that ran and did not end on request: from then on it is missed."""
HEARTBEAT = "heartbeat"
"""Who of a process it is that misses the store."""
TTL_S = 10.0
"""A task that has been silent for this long counts as gone."""
MISSED_S = 86_400.0
"""How long a kind of task that went away without a word is missed, where the settings do not expect it."""
MARK_S = 60.0
"""How often a kind of task is marked as seen."""
Report = dict[str, Any]


async def beat(
    host: Host,
    store: Store,
    clock: Clock,
    every_s: float = 0.5,
    memory: MemoryWatch | None = None,
    availability: Availability | None = None,
) -> None:
    """Write the state of the host's tasks until the host stops; with memory, of this process too.

    availability: shared with what else of the process uses the store, so that an outage is told once.
    """
    moves = Moves()

    async def found() -> list[Report]:
        return [report(task, clock, moves) for task in list(host.tasks.values())]

    await _tell(found, store, clock, host.stop, every_s, memory, availability or Availability())


async def beat_process(
    pool: str,
    handled: Callable[[], int],
    store: Store,
    clock: Clock,
    stop: asyncio.Event,
    every_s: float = 0.5,
    *,
    lag: Callable[[], Awaitable[Mapping[str, int]]] | None = None,
    counts: Callable[[], Counts] = Counts,
    memory: MemoryWatch | None = None,
    availability: Availability | None = None,
) -> None:
    """Tell of a process that has no tasks of its own, such as the orchestrator's engine, until stop is set.

    handled: events handled so far. lag: how many offsets it is behind, by topic:partition. counts: for metrics. With
    memory, of what the process uses too. availability: as in beat.
    """
    task = f"{pool}.{uuid.uuid4().hex[:8]}"  # several processes may do the same work
    moves = Moves()

    async def found() -> list[Report]:
        done, behind, now = {"events": handled()}, await _lag(lag), clock.now()
        own = {"task": task, "pool": pool, "partition": 0, "slice": -1, "handled": done, "dead_letters": {}}
        moved = moves.since(task, done, now)
        more = {"lag": behind, "moved": moved, "counts": counts().as_dict(), "process": process_id(), "updated": now}
        return [{**own, **more}]

    await _tell(found, store, clock, stop, every_s, memory, availability or Availability())


async def _tell(
    found: Callable[[], Awaitable[list[Report]]],
    store: Store,
    clock: Clock,
    stop: asyncio.Event,
    every_s: float,
    memory: MemoryWatch | None,
    availability: Availability,
) -> None:
    told, marked = dict[str, bytes](), dict[str, float]()
    while not stop.is_set():
        tasks = await found()
        told = {PREFIX + each["task"]: json.dumps(each).encode() for each in tasks}
        if memory is not None:
            own = process_report(sorted({each["pool"] for each in tasks}), memory, clock.now())
            told[PROCESS + own["process"]] = json.dumps(own).encode()
        try:
            for key, value in told.items():
                await store.set(key, value, ttl_s=TTL_S)
            await _mark(store, tasks, marked)
            availability.back(HEARTBEAT)
        except StoreError as error:
            availability.lost(HEARTBEAT, error)
            await _reconnect(store)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every_s)
    with suppress(StoreError):
        for key in [*told, *(SEEN + kind for kind in marked)]:
            await store.delete(key)


async def _lag(of: Callable[[], Awaitable[Mapping[str, int]]] | None) -> dict[str, int]:
    try:
        return dict(await of()) if of else {}
    # Partitions may change hands meanwhile, and an engine that stops cancels what it was asked: a heartbeat goes on.
    except (Exception, asyncio.CancelledError) as error:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        log.debug("no lag: %r", error)
        return {}


async def _mark(store: Store, tasks: Sequence[Report], marked: dict[str, float]) -> None:
    """Have each kind of task missed from now on, should it go away without a word."""
    now = time.monotonic()
    for kind in {kind_of(each) for each in tasks}:
        if now - marked.get(kind, -MARK_S) >= MARK_S:
            await store.set(SEEN + kind, b"1", ttl_s=MISSED_S)
            marked[kind] = now


async def _reconnect(store: Store) -> None:
    with suppress(StoreError):
        await store.stop()
        await store.start()


@dataclass
class Moves:
    """When each task last got on."""

    _last: dict[str, tuple[object, int]] = field(default_factory=dict)

    def since(self, task: str, place: object, now: int) -> int:
        """Return since when a task has been where it is, ns UTC."""
        known = self._last.get(task)
        if known is None or known[0] != place:
            self._last[task] = known = (place, now)
        return known[1]


def report(task: Task, clock: Clock, moves: Moves | None = None) -> Report:
    """Return how far a task is, and what it has done in this process; with moves also when it last got on."""
    meta, now = getattr(task, "meta", None), clock.now()
    positions = {place.name: offset for place, offset in task.positions().items()}
    working = task.working_since
    found = {
        "task": task.id,
        "pool": task.processor.pool,
        "partition": task.partition,
        "slice": meta.frontier.slice if meta else -1,
        "handled": dict(meta.handled) if meta else {},
        "dead_letters": dict(meta.dead) if meta else {},
        "positions": positions,
        "working_since": None if working is None else now - int((time.monotonic() - working) * 1e9),
        "counts": task.counts.as_dict(),
        "problem": getattr(task.processor, "problem", ""),
        "process": process_id(),
        "updated": now,
    }
    return {**found, "moved": moves.since(task.id, positions, now)} if moves is not None else found


def kind_of(found: Report) -> str:
    """Return the kind of task that a report is of."""
    return str(found["task"]).rpartition(".")[0]


async def reports(store: Store) -> list[Report]:
    """Return the latest reports of all tasks that are alive."""
    return await _all(store, PREFIX)


async def process_reports(store: Store) -> list[Report]:
    """Return the latest reports of all processes that run tasks."""
    return await _all(store, PROCESS)


async def missed(store: Store) -> set[str]:
    """Return the kinds of tasks that ran lately and did not end on request."""
    return {key.removeprefix(SEEN) for key in await store.scan(SEEN)}


async def _all(store: Store, prefix: str) -> list[Report]:
    found = []
    for key in await store.scan(prefix):
        value = await store.get(key)
        if value is not None:
            found.append(json.loads(value))
    return found
