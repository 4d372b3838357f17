"""How long a pool stands still while its processes come, go and die under load: one JSON line.

python -m tests.performance.rebalance [--static]: on FINAGENT_KAFKA_BOOTSTRAP, or on a local broker. A feed publishes a
slice every 50 ms; the time without progress of a task is the longest time between two of its commits.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

from agents.data.feed import Feed
from infra.processes import Processes, processes
from orchestrator.settings import Settings, load
from orchestrator.wiring import BUILT_IN, broker_of, kinds_of, partitions_of, pool_of
from schemas import Bar, Message, StrategyStarted
from streams.broker import Broker, Reader, partition_of
from streams.clock import WallClock
from streams.host import create_topology
from streams.kafka_calls import coordinated
from streams.record import TopicPartition
from streams.serde import Serde
from streams.topics import changelog
from tests.dataplane import record, sample, started
from tests.performance.__main__ import kafka

POOL = "alpha"
PARTITIONS = 4
PERIOD_S = 0.05
STEADY_S = 3.0
"""Watched after the group has settled, since tasks start after it has."""
SETTLED_S = 60.0


@dataclass
class Progress:
    """When each task of the pool committed, as a reader of its changelog sees it."""

    reader: Reader
    commits: dict[int, list[float]] = field(default_factory=lambda: {each: [] for each in range(PARTITIONS)})

    async def follow(self) -> None:
        """Note commits until cancelled."""
        while True:
            seen = {each.partition for each in await self.reader.poll(0.2)}
            for partition in seen:
                self.commits[partition].append(time.monotonic())

    def without(self, since: float, until: float) -> dict[str, Any]:
        """Return the longest time without a commit of each task, in s, and how many tasks stood still at all."""
        longest = [round(self._longest(partition, since, until), 2) for partition in self.commits]
        return {"longest_s": max(longest), "by_task_s": longest, "over_half_a_second": sum(s > 0.5 for s in longest)}

    def _longest(self, partition: int, since: float, until: float) -> float:
        times = [since, *(at for at in self.commits[partition] if since < at < until), until]
        return max(later - earlier for earlier, later in pairwise(times))


@dataclass
class Pool:
    """The pool's processes."""

    children: Processes
    admin: AIOKafkaAdminClient
    group: str
    static: bool

    def start(self, number: int) -> None:
        """Start one process."""
        named = {"FINAGENT_KAFKA__INSTANCE_ID": f"{POOL}-{number}"} if self.static else {}
        self.children.start(f"{POOL}-{number}", ["pool", POOL], named)

    def kill(self, number: int) -> None:
        """End one process with SIGKILL."""
        self.children.kill(f"{POOL}-{number}")

    async def stop(self, number: int) -> None:
        """Ask one process to drain, and wait for its end."""
        process = self.children.running.pop(f"{POOL}-{number}")
        process.terminate()
        await asyncio.to_thread(process.wait)

    async def settled(self, members: int) -> None:
        """Wait until the group has so many members, all assigned."""
        async with asyncio.timeout(SETTLED_S):
            while await self._members() != members:
                self.children.check()
                await asyncio.sleep(0.1)

    async def _members(self) -> int:
        [answer] = await coordinated(lambda: self.admin.describe_consumer_groups([self.group]))
        [(_, _, state, _, _, members, *_)] = answer.groups
        return len(members) if state == "Stable" else -1


@asynccontextmanager
async def pool(settings: Settings, folder: Path, static: bool) -> AsyncIterator[Pool]:
    """Give the pool, without a process yet."""
    kafka = settings.kafka
    environment = {
        "FINAGENT_KAFKA__BOOTSTRAP": kafka.bootstrap,
        "FINAGENT_KAFKA__PREFIX": kafka.prefix,
        "FINAGENT_KAFKA__PARTITIONS__ACCOUNT": str(PARTITIONS),
    }
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        with processes(folder, environment) as children:
            yield Pool(children, admin, kafka.prefix + POOL, static)
    finally:
        await admin.close()


def runs(instruments: Sequence[Any]) -> list[StrategyStarted]:
    """Return a run on an account of each partition."""
    found: dict[int, StrategyStarted] = {}
    number = 0
    while len(found) < PARTITIONS:
        run = started(f"run-{number}", instruments)
        found.setdefault(partition_of(run.account_id, PARTITIONS), run)
        number += 1
    return list(found.values())


async def publish(broker: Broker, settings: Settings, slices: Sequence[Sequence[Bar]]) -> None:
    """Publish a slice in each period, until cancelled or out of data."""
    async with Feed.open(broker, partitions_of(settings), WallClock(), Serde()) as feed:
        for slice_ in slices:
            await asyncio.gather(feed.publish([slice_]), asyncio.sleep(PERIOD_S))


async def phases(group: Pool, progress: Progress) -> dict[str, Any]:
    """Go 1 -> 4 -> 2, then kill one of the two and start it again; return the time without progress of each."""
    found = {}

    async def watched(name: str, members: int) -> None:
        await group.settled(members)
        await asyncio.sleep(STEADY_S)
        found[name] = progress.without(since, time.monotonic()) | {"took_s": round(time.monotonic() - since, 1)}

    since = time.monotonic()
    for number in (2, 3, 4):
        group.start(number)
    await watched("1_to_4", 4)
    since = time.monotonic()
    await asyncio.gather(group.stop(3), group.stop(4))
    await watched("4_to_2", 2)
    since = time.monotonic()
    group.kill(2)
    group.start(2)
    await asyncio.sleep(10)
    await watched("kill_9_and_restart", 2)
    since = time.monotonic()
    group.kill(2)
    await asyncio.sleep(8)
    await watched("kill_9", 1)
    return found


async def run(settings: Settings, folder: Path, static: bool) -> dict[str, Any]:
    """Measure all phases."""
    broker = broker_of(settings)
    await broker.start()
    kinds = [kind for name in BUILT_IN for kind in kinds_of(pool_of(name, settings))]
    await create_topology(broker, partitions_of(settings), kinds)
    instruments, slices = sample(("AAPL", "IBM"), "2000-03-01", "2013-03-01")
    messages: list[Message] = [*instruments, *runs(instruments)]
    await broker.publish([record(each) for each in messages])
    places = {TopicPartition(changelog(POOL), partition): 0 for partition in range(PARTITIONS)}
    async with broker.reader(places) as reader, pool(settings, folder, static) as group:
        progress = Progress(reader)
        work = [asyncio.create_task(progress.follow())]
        group.start(1)
        await group.settled(1)
        work.append(asyncio.create_task(publish(broker, settings, slices)))
        await asyncio.sleep(STEADY_S)
        try:
            return await phases(group, progress)
        finally:
            for each in work:
                each.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await broker.stop()


def main() -> None:
    """Print the figures."""
    static = "--static" in sys.argv
    with kafka() as address, tempfile.TemporaryDirectory() as folder:
        named = {
            "bootstrap": address,
            "prefix": f"bench-{uuid.uuid4().hex[:8]}.",
            "partitions": {"account": PARTITIONS},
        }
        settings = load(overrides={"kafka": named, "log_level": "WARNING"}, environ={})
        found = asyncio.run(run(settings, Path(folder), static))
    where = {"python": platform.python_version(), "cores": os.cpu_count()}
    print(json.dumps({"benchmark": "rebalance", "static": static, **found, **where}), flush=True)


if __name__ == "__main__":
    main()
