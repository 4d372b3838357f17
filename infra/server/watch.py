"""What is looked at again and again, whoever asks: health, and how far the topics are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from infra.cli.topics import carries
from infra.server.live import LiveView
from infra.server.models import Health, TopicView
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.lag import lags
from streams.errors import FinAgentError, StoreError
from streams.record import TopicPartition, rfc3339
from streams.topics import TOPICS, dead_letters

log = logging.getLogger("finagent.server")
EVERY_S = 1.0
HEALTH_EVERY_S = 2.0
ANSWER_S = 5.0
"""Time for the broker and the store to answer, in seconds."""
STALE_S = 15.0
"""Health that was looked at so long ago says nothing any more."""


@dataclass
class Watch:
    """Health and topics, as they were when last looked at."""

    orchestrator: FinAgentOrchestrator
    live: LiveView
    version: str
    health: dict[str, Any] = field(default_factory=dict)
    topics: list[TopicView] = field(default_factory=list)
    _ends: dict[TopicPartition, int] = field(default_factory=dict)
    _rates: dict[str, float] = field(default_factory=dict)
    _sampled: float = 0.0

    @classmethod
    @asynccontextmanager
    async def open(cls, orchestrator: FinAgentOrchestrator, live: LiveView, version: str) -> AsyncIterator[Self]:
        """Look once, then again and again until the block ends."""
        watch = cls(orchestrator, live, version)
        await watch._look_at_health()
        tasks = [
            asyncio.create_task(watch._again(watch._look_at_health, HEALTH_EVERY_S), name="watch health"),
            asyncio.create_task(watch._again(watch._look_at_topics, EVERY_S), name="watch topics"),
        ]
        try:
            yield watch
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _again(self, look: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            try:
                async with asyncio.timeout(ANSWER_S):
                    await look()
            except (FinAgentError, TimeoutError) as error:
                log.debug("%s", error)
            await asyncio.sleep(every_s)

    def view(self) -> Health:
        """Return health; critical where it has not been looked at for long."""
        now = self.orchestrator.clock.now()
        status, reasons = self.health["status"], list(self.health["reasons"])
        if self.live.problem:
            status, reasons = "critical", [*reasons, self.live.problem]
        if (now - self.health["checked"]) / 1e9 > STALE_S:
            status, reasons = "critical", [*reasons, f"no answer to the health check for {STALE_S:g} s"]
        checked = rfc3339(self.health["checked"])
        return Health(status=status, reasons=reasons, version=self.version, checked=checked)

    async def _look_at_health(self) -> None:
        before = (self.health.get("status"), self.health.get("reasons"))
        self.health = {"checked": self.orchestrator.clock.now(), **await self.orchestrator.get_health_status()}
        if before != (self.health["status"], self.health["reasons"]):
            self.live.tell("health", lambda: self.view().model_dump_json())

    async def _look_at_topics(self) -> None:
        if self.live.hub.wants("topics"):
            found = await self.look_at_topics()
            self.live.tell("topics", lambda: _listed(found))

    async def look_at_topics(self) -> list[TopicView]:
        """Return every topic of the project with its rates and lags."""
        broker = self.orchestrator.broker
        counts = {name: count for name, count in (await broker.topics()).items() if name in TOPICS or _is_dead(name)}
        places = [TopicPartition(name, number) for name, count in counts.items() for number in range(count)]
        begins, ends = await broker.beginnings(places), await broker.ends(places)
        self._measure(ends)
        behind = await self._lags()
        return [
            TopicView(
                name=name,
                partitions=counts[name],
                begin=sum(begins[place] for place in places if place.topic == name),
                end=sum(ends[place] for place in places if place.topic == name),
                per_second=self._rates.get(name, 0.0),
                compacted=TOPICS[name].compacted,
                lag=behind.get(name, {}),
                dead_letters=self.live.dead_letters.counts.get(name, 0),
                carries=carries(name),
            )
            for name in TOPICS
            if name in counts
        ]

    def _measure(self, ends: dict[TopicPartition, int]) -> None:
        now = asyncio.get_running_loop().time()
        spent, before = now - self._sampled, self._ends
        if before and spent < EVERY_S / 2:
            return
        gained: dict[str, int] = {}
        for place, end in ends.items():
            gained[place.topic] = gained.get(place.topic, 0) + end - before.get(place, end)
        self._rates = {name: count / spent for name, count in gained.items()}
        self._ends, self._sampled = ends, now

    async def _lags(self) -> dict[str, dict[str, int]]:
        """Return how far each task that tells of itself is behind, by topic and task."""
        found: dict[str, dict[str, int]] = {}
        try:
            tasks = await self.orchestrator.task_reports()
        except StoreError:
            return {}  # health says so
        for task, lag in (await lags(self.orchestrator.broker, tasks)).items():
            for place, count in lag.items():
                behind = found.setdefault(place.topic, {})
                behind[task] = behind.get(task, 0) + count
        return found


def _is_dead(name: str) -> bool:
    return any(name == dead_letters(topic) for topic in TOPICS)


def _listed(found: list[TopicView]) -> str:
    return "[" + ",".join(each.model_dump_json() for each in found) + "]"
