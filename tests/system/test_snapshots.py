"""Redis is lost in the middle of a run and comes back: no decision depends on it, and snapshots resume."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from agents.memory.availability import UNAVAILABLE
from infra.services import start_redis
from streams.record import TopicPartition
from streams.redis_store import RedisStore
from streams.snapshot import Snapshot
from streams.snapshots import PREFIX
from streams.tail import tail
from streams.topics import changelog
from tests.services import local_redis
from tests.system.cluster import DECISIONS, cluster, decisions, half_year, lines, on, rotation, until
from tests.system.test_kafka_system import reference

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(240)]
RISK = TopicPartition(changelog("risk"), 0)
OFTEN = {"FINAGENT_REDIS__SNAPSHOT_INTERVAL_S": "0.2"}


async def test_redis_is_lost_and_comes_back_and_no_decision_depends_on_it(
    kafka_bootstrap: str, prefix: str, tmp_path: Path
) -> None:
    expected, folder, slices = await reference(), tmp_path / "redis", half_year()
    with local_redis(folder) as redis:
        async with cluster(on(kafka_bootstrap, redis.url, prefix), tmp_path / "logs", **OFTEN) as system:
            await system.ready()
            client, names = system.client, list(system.children.running)
            feed = await client.feed()
            async with tail(client.broker, client.serde, DECISIONS) as followed:
                await client.start_strategy(rotation(), initial_cash=100_000, check_history=False, run_id="rotation")
                await feed.publish(slices[:40])
                before = await snapshot_of("risk.0", redis.url, prefix, at_least=0)
                os.kill(redis.pid, signal.SIGKILL)
                await feed.publish(slices[40:80])
                await followed.slice_done(feed.state.last_slice, client.partitions, 120)
                [end] = (await client.broker.ends([RISK])).values()
                await until(lambda: all(lines(system, name, UNAVAILABLE) for name in names), "each process's word")
                assert start_redis(folder).url == redis.url
                await feed.publish(slices[80:])
                after = await snapshot_of("risk.0", redis.url, prefix, at_least=end)
                assert after.offset > before.offset
                system.children.kill("risk")
                system.start("risk")
                await followed.slice_done(feed.state.last_slice, client.partitions, 120)
            assert lines(system, "risk", "risk.0: restored from a snapshot")
            assert {name: len(lines(system, name, UNAVAILABLE)) for name in names} == dict.fromkeys(names, 1)
    assert decisions(followed.events) == expected
    assert len(followed.events) == len(expected)


async def snapshot_of(task: str, redis_url: str, prefix: str, at_least: int) -> Snapshot:
    """Return a task's snapshot, once there is one from an offset on."""
    store = RedisStore(redis_url, prefix)
    await store.start()
    try:
        async with asyncio.timeout(30):
            while True:
                data = await store.get(PREFIX + task)
                if data is not None and (found := Snapshot.decode(data)).offset >= at_least:
                    return found
                await asyncio.sleep(0.05)
    finally:
        await store.stop()
