"""How far each task is, as committed records tell."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from infra.chaos.market import PARTITIONS
from infra.chaos.plan import ORCHESTRATOR
from schemas import SliceClosed, Workflow
from streams.broker import Broker
from streams.errors import FinAgentError
from streams.record import Envelope, Received, TopicPartition
from streams.serde import Serde

log = logging.getLogger("finagent.chaos")
_TOLD = {"signals": ("alpha", "decide"), "targets": ("portfolio", "construct"), "orders": ("risk", "control")}
_TOLD["fills"] = ("execution", "accept")
"""Where each pool of the data plane tells that it is done with a slice, and the stage's name."""
DATA_PLANE = tuple(f"{pool}.{partition}" for pool, _ in _TOLD.values() for partition in range(PARTITIONS))
ANSWERING = ("data", "alpha", "portfolio", "risk", "transaction_cost")
"""Pools that answer the steps of a round."""
CONTROL_PLANE = tuple(
    f"{kind}.{partition}"
    for kind in (ORCHESTRATOR, *(f"{pool}.steps" for pool in ANSWERING))
    for partition in range(PARTITIONS)
)
_TOPICS = (*_TOLD, "results", "workflows")
_SILENT_S = 10.0
"""A reader that brings nothing for so long is made anew: it may be asking a broker that is away."""
_AGAIN_S = 0.5


@dataclass
class Progress:
    """Follows the log; a mark of a task only ever grows."""

    broker: Broker
    serde: Serde
    times: Sequence[int]
    """Of the slices, ns UTC."""
    marks: dict[str, int] = field(default_factory=dict)
    """Slices done by a task of the data plane; records written by one of the control plane."""
    ended: set[str] = field(default_factory=set)
    """Workflows that have ended."""
    began: float = 0.0
    """When the run began, by time.monotonic()."""
    moved: float = 0.0
    """When a mark last grew, by time.monotonic()."""
    closed_at: list[tuple[float, int]] = field(default_factory=list)
    """When the number of done slices grew, by time.monotonic(), and to how many."""
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _numbers: dict[int, int] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def following(cls, broker: Broker, serde: Serde, times: Sequence[int]) -> AsyncIterator[Progress]:
        """Follow the log from its beginning until the block ends."""
        progress = cls(broker, serde, times, dict.fromkeys((*DATA_PLANE, *CONTROL_PLANE), 0))
        progress._numbers = {ts: number for number, ts in enumerate(times, start=1)}
        progress.moved = time.monotonic()
        following = asyncio.create_task(progress._follow(), name="progress")
        try:
            yield progress
        finally:
            following.cancel()
            await asyncio.wait([following])

    @property
    def done(self) -> int:
        """Return how many slices every task has done."""
        return min(self.marks[task] for task in DATA_PLANE)

    @property
    def seconds(self) -> float:
        """Return the time from the beginning until the last slice was done."""
        return round(self.closed_at[-1][0] - self.began, 3) if self.closed_at else 0.0

    def longest_pause(self, since: float, until: float) -> float:
        """Return the longest time between two moments, by time.monotonic(), in which no slice was done, in seconds."""
        times = [since, *(at for at, _ in self.closed_at if since < at < until), until]
        return round(max(later - earlier for earlier, later in pairwise(times)), 3)

    def begin(self) -> None:
        """Count times from now on."""
        self.began = self.moved = time.monotonic()

    async def tell(self) -> None:
        """Have those look again that wait for a condition."""
        async with self._changed:
            self._changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once a condition on this holds."""
        async with self._changed:
            await self._changed.wait_for(condition)

    def late(self, workflows: Collection[str]) -> list[str]:
        """Name the tasks that have not done every slice, and those of the workflows that have not ended."""
        slices = len(self.times)
        tasks = [f"{task}: slice {self.marks[task]} of {slices}" for task in DATA_PLANE if self.marks[task] < slices]
        return tasks + [f"workflow {name} has not ended" for name in sorted({*workflows} - self.ended)]

    def beyond(self, stood: dict[str, int]) -> bool:
        """Tell whether each task is beyond where it stood, or at the end of the slices."""
        return all(self.marks[task] > mark or self._ended(task) for task, mark in stood.items())

    def _ended(self, task: str) -> bool:
        return task in DATA_PLANE and self.marks[task] == len(self.times)

    async def _follow(self) -> None:
        counts = await self.broker.topics()
        places = [TopicPartition(name, p) for name in _TOPICS for p in range(counts[name])]
        at = dict.fromkeys(places, 0)
        while True:
            try:
                await self._read(at)
            except FinAgentError as error:
                log.debug("the observer reads on: %s", error)
                await asyncio.sleep(_AGAIN_S)

    async def _read(self, at: dict[TopicPartition, int]) -> None:
        async with self.broker.reader(at) as reader:
            heard = time.monotonic()
            while time.monotonic() < heard + _SILENT_S:
                records = await reader.poll(_AGAIN_S)
                for place in at:
                    at[place] = reader.position(place)
                if records:
                    heard = time.monotonic()
                    await self._take(records)

    async def _take(self, records: Iterable[Received]) -> None:
        before, done = dict(self.marks), self.done
        for record in records:
            self._learn(record)
        if self.marks != before:
            self.moved = time.monotonic()
        if self.done > done:
            self.closed_at.append((self.moved, self.done))
        await self.tell()

    def _learn(self, record: Received) -> None:
        if record.value is None:
            return
        envelope = Envelope.from_headers(record.headers)
        if record.topic in _TOLD:
            if envelope.type == SliceClosed.__name__:
                self._closed(record)
            return
        task = f"{envelope.source}.{record.partition}"
        if task in self.marks:
            self.marks[task] += 1
        if record.topic == "workflows":
            workflow = self.serde.decode(record.value)
            assert isinstance(workflow, Workflow)
            if workflow.status != "running":
                self.ended.add(workflow.workflow_id)

    def _closed(self, record: Received) -> None:
        closing = self.serde.decode(record.value)
        assert isinstance(closing, SliceClosed)
        if (closing.source, closing.stage) == _TOLD[record.topic]:
            task = f"{closing.source}.{closing.partition}"
            self.marks[task] = max(self.marks[task], self._numbers.get(closing.ts_event, 0))
