"""Run tasks in this process: those of whose pools it is a member, on the partitions that the group gives it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from streams.broker import MAX_LETTER_BYTES, Broker, TopicConfig
from streams.clock import Clock
from streams.errors import Fenced, TopologyError
from streams.processor import Processor
from streams.retrying import PATIENCE_S, STEADY_S, retried, set_within
from streams.serde import Serde
from streams.slices import FEED
from streams.snapshots import SnapshotPolicy, Snapshots
from streams.task import Task
from streams.topics import SCHEMAS, TOPICS, changelog, dead_letters

log = logging.getLogger("finagent.host")
GIVE_WAY_S = 5.0
"""How long a fenced task waits for the group to take it away; twice as long each time, up to PATIENCE_S."""


@dataclass(frozen=True)
class TaskKind:
    """A pool's tasks: their name, the key family that they are partitioned by, and how one is made."""

    name: str
    family: str
    processor: Callable[[], Processor]


async def create_topology(broker: Broker, partitions: Mapping[str, int], kinds: Sequence[TaskKind]) -> None:
    """Create the topics of the families that have a count, their dead letters and the changelogs.

    Raises TopologyError where an existing count differs.
    """
    counts = {**partitions, "single": 1}
    wanted = {}
    for topic in (each for each in TOPICS.values() if each.family in counts):
        wanted[topic.name] = TopicConfig(counts[topic.family], topic.compacted, topic.retention_ms)
        wanted[dead_letters(topic.name)] = TopicConfig(counts[topic.family], max_bytes=MAX_LETTER_BYTES)
    for kind in kinds:
        wanted[changelog(kind.name)] = TopicConfig(counts[kind.family], compacted=True)
    wanted[changelog(FEED)] = wanted[SCHEMAS] = TopicConfig(1, compacted=True)
    await broker.create_topics(wanted)
    present = await broker.topics()
    for name, config in wanted.items():
        if present.get(name) != config.partitions:
            raise TopologyError(
                f"topic {name} has {present.get(name)} partitions, expected {config.partitions}: all topics of one "
                "key family need the same count, and it cannot be changed in place"
            )


@dataclass
class Host:
    """Tasks of some pools in one process."""

    broker: Broker
    kinds: Sequence[TaskKind]
    partitions: Mapping[str, int]
    clock: Clock
    serde: Serde
    on_commit: Callable[[Task], None] = lambda task: None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: dict[str, Task] = field(default_factory=dict)
    """Running tasks by id."""
    snapshots: SnapshotPolicy | None = None
    """How snapshots of the tasks' states are kept; None: none are."""
    failure: BaseException | None = None
    """Why the host stopped by itself."""
    _running: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def run(self) -> None:
        """Take part until stop is set; raise what made a task fail for good."""
        joins = [asyncio.create_task(self._join(kind), name=f"join {kind.name}") for kind in self.kinds]
        try:
            await asyncio.gather(*joins)
        finally:
            self.stop.set()
            await asyncio.gather(*joins, return_exceptions=True)
        if self.failure is not None:
            raise self.failure

    async def _join(self, kind: TaskKind) -> None:
        async def assigned(partitions: frozenset[int]) -> None:
            await self._own(kind, partitions)

        async def member() -> None:
            await self.broker.join(kind.name, changelog(kind.name), assigned, self.stop)

        await retried(f"member of {kind.name}", member, self.stop)

    async def _own(self, kind: TaskKind, partitions: frozenset[int]) -> None:
        """Begin what is new, and wait for the end of what went elsewhere; what stays goes on undisturbed."""
        mine = {f"{kind.name}.{partition}": partition for partition in partitions}
        gone = [name for name in self.tasks if name.rpartition(".")[0] == kind.name and name not in mine]
        for name in gone:
            self.tasks.pop(name).stop.set()
        ending = [self._running[name] for name in gone]
        for name, partition in mine.items():
            if name not in self.tasks and not self.stop.is_set():
                self._begin(name, kind, partition)
        if ending:
            await asyncio.wait(ending)

    def _begin(self, name: str, kind: TaskKind, partition: int) -> None:
        task = Task(self.broker, kind.processor(), partition, self.partitions, self.clock, self.serde, self.on_commit)
        if self.snapshots is not None:
            task.snapshots = Snapshots(self.snapshots, name)
        self.tasks[name] = task
        running = asyncio.create_task(self._supervise(task, self._running.get(name)), name=f"task {name}")
        self._running[name] = running

    async def _supervise(self, task: Task, former: asyncio.Task[None] | None) -> None:
        if former is not None:  # the partition has come back before its former task here has ended
            await asyncio.wait([former])
        try:
            await retried(f"task {task.id}", lambda: self._held(task), task.stop)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            log.error("%s stops: %s", task.id, error)
            self.failure = error
            self.stop.set()
            raise

    async def _held(self, task: Task) -> None:
        """Run a task while the group gives it to this process.

        A fenced task waits to be told that it is another's now; where that does not come, nobody took it over (the
        broker fences a transaction that timed out, too), and it starts again. A process that the group cannot reach is
        told nothing, so each time it waits longer before it takes the task back.
        """
        fenced = 0
        while not task.stop.is_set():
            began = time.monotonic()
            try:
                return await task.run()
            except Fenced as error:
                log.warning("%s gives way: %s", task.id, error)
                fenced = 0 if time.monotonic() - began > STEADY_S else fenced
                await set_within(task.stop, min(GIVE_WAY_S * 2**fenced, PATIENCE_S))
                fenced += 1
