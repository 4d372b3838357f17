"""The memory on real Kafka and real Redis: partitions, restarts of Redis, refusals, and the process under kill -9."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from agents.memory.agent import MemoryAgent
from agents.memory.availability import UNAVAILABLE
from agents.memory.digest import digest
from agents.memory.keys import OFFSETS, event_key
from agents.memory.limits import MemoryLimits
from agents.memory.reader import Memory
from agents.memory.writing import offsets_of
from infra.processes import processes
from infra.services import start_redis, stop_redis
from orchestrator.health import health_of
from orchestrator.remembering import check, memory_agent, rebuild
from orchestrator.settings import Settings, load
from orchestrator.wiring import broker_of
from streams.broker import Broker
from streams.clock import WallClock
from streams.errors import StoreError
from streams.host import create_topology
from streams.record import Record
from streams.redis_store import RedisStore
from streams.store import MemoryStore
from tests.dataplane import Plane, sample, started
from tests.services import local_redis

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[2]
SYMBOLS = ("AAPL", "IBM", "MSFT")
LIMITS = MemoryLimits(max_events=150, ttl_s=10 * 365 * 86_400.0)


async def traded() -> list[Record]:
    """Return what stands on the log after a run over half a year of daily bars, in an order in which it may be read."""
    plane = Plane()
    plane.clock.advance_to(WallClock().now())
    async with plane.running():
        instruments, slices = sample(SYMBOLS, "2012-01-03", "2012-06-29")
        await plane.announce(started("run", instruments, rebalance_frequency="bar", parameters={"top": 2}))
        await plane.publish(slices)
    logs = [plane.records(name) for name in plane.broker._logs if not name.endswith(".changelog")]
    return [
        Record(each.topic, each.key, each.value, each.headers, None, each.timestamp_ms) for log in logs for each in log
    ]


@pytest.fixture(scope="module")
def history() -> list[Record]:
    return asyncio.run(traded())


def settings_on(bootstrap: str, redis_url: str, prefix: str, partitions: int = 1) -> Settings:
    counts = dict.fromkeys(("account", "instrument", "workflow"), partitions)
    kafka = {"bootstrap": bootstrap, "prefix": prefix, "partitions": counts}
    memory = LIMITS.model_dump()
    return load(overrides={"kafka": kafka, "redis": {"url": redis_url}, "memory": memory}, environ={})


@asynccontextmanager
async def log_on(settings: Settings) -> AsyncIterator[Broker]:
    broker = broker_of(settings)
    await broker.start()
    try:
        await create_topology(broker, settings.kafka.partitions.model_dump(), ())
        yield broker
    finally:
        await broker.stop()


@asynccontextmanager
async def remembering(broker: Broker, store: RedisStore) -> AsyncIterator[MemoryAgent]:
    agent, stop = memory_agent(LIMITS, broker, store, WallClock()), asyncio.Event()
    running = asyncio.create_task(agent.run(stop))
    try:
        yield agent
    finally:
        stop.set()
        await running
        await store.stop()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


async def caught_up(broker: Broker, store: RedisStore) -> None:
    ends = await broker.ends(await memory_agent(LIMITS, broker, store, WallClock()).places())

    async def reached() -> bool:
        try:
            known = offsets_of(await store.get(OFFSETS)) or {}
        except StoreError:
            return False
        return all(known.get(place, 0) >= end for place, end in ends.items())

    await until(reached)


async def undisturbed(history: Sequence[Record]) -> str:
    """Return the digest of an agent that reads the history at once, in this process."""
    plane, store = Plane(), MemoryStore()
    await plane.create()
    await plane.broker.publish(history)
    return (await check(LIMITS, plane.broker, store, WallClock()))[0]


@pytest.mark.parametrize("partitions", [1, 3])
async def test_partitions_leave_no_trace_and_a_rebuild_gives_the_same(
    kafka_bootstrap: str, redis_url: str, prefix: str, history: list[Record], partitions: int
) -> None:
    store = RedisStore(redis_url, prefix)
    async with log_on(settings_on(kafka_bootstrap, redis_url, prefix, partitions)) as broker:
        await broker.publish(history)
        async with remembering(broker, store):
            await caught_up(broker, store)
            known = await digest(store)
            assert known == await undisturbed(history)
            assert len(await store.scan("memory:topic:fills")) == 1
            memory = Memory(store)
            bars = await memory.query(topic="bars", limit=1000)
            assert len(bars) == 150
            assert {each["partition"] for each in bars} <= set(range(partitions))
            (fill,) = await memory.query(run_id="run", kind="OrderFilled", symbol="AAPL", limit=1)
            (order,) = await memory.query(message_id=fill["causation_id"])
            assert order["type"] == "SubmitOrder"
            latest = await memory.latest("run")
            assert latest["counts"]["OrderFilled"] == sum(_kind(each) == "OrderFilled" for each in history)
            equity = [json.loads(json.dumps(each)) for each in await memory.query(topic="positions", limit=1)]
            assert latest["account"]["equity"] == equity[0]["message"]["equity"]
            async with second_store(redis_url, prefix) as other:
                await rebuild(LIMITS, broker, other, WallClock())
            assert await digest(store) == known
        await _drop(redis_url, prefix)


def _kind(record: Record) -> str:
    return dict(record.headers)["ce_type"].decode().removeprefix("finagent.")


@asynccontextmanager
async def second_store(url: str, prefix: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(url, prefix)
    try:
        yield store
    finally:
        await store.stop()


async def _drop(redis_url: str, prefix: str) -> None:
    async with second_store(redis_url, prefix) as store:
        await store.start()
        for key in await store.scan(""):
            await store.delete(key)


async def test_a_redis_that_stops_and_starts_is_caught_up_with(
    kafka_bootstrap: str, prefix: str, history: list[Record], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    third = len(history) // 3
    with local_redis(tmp_path) as service:
        async with log_on(settings_on(kafka_bootstrap, service.url, prefix)) as broker:
            store, reading = RedisStore(service.url, prefix), RedisStore(service.url, prefix)
            await reading.start()
            async with remembering(broker, store) as agent:
                await broker.publish(history[:third])
                await caught_up(broker, reading)
                await asyncio.to_thread(stop_redis, tmp_path)
                await broker.publish(history[third : 2 * third])

                async def unavailable() -> bool:
                    return agent.state == "unavailable"

                await until(unavailable)
                await asyncio.to_thread(start_redis, tmp_path)
                await broker.publish(history[2 * third :])
                await caught_up(broker, reading)
                assert agent.state == "active"
                assert await digest(reading) == await undisturbed(history)
                # A Redis without its data is filled from the beginning by itself.
                with redis.Redis.from_url(service.url) as client:
                    client.flushall()

                async def filled() -> bool:
                    return await reading.get(OFFSETS) is not None

                await until(filled)
                await caught_up(broker, reading)
                assert await digest(reading) == await undisturbed(history)
            await reading.stop()
    warned = [(each.name, each.getMessage()) for each in caplog.records if each.levelno == logging.WARNING]
    assert warned.count(("FinAgentOrchestrator", UNAVAILABLE)) == 1


@pytest.mark.parametrize(
    ("configured", "credentials", "reason"),
    [
        ({"maxmemory": "1"}, "", "it is full: give it more maxmemory"),
        ({"requirepass": "secret"}, "", "it refuses the user and password, or needs them"),
        ({"requirepass": "secret"}, ":wrong@", "it refuses the user and password, or needs them"),
        ({"user": "reader"}, "reader:pass@", "its user may not do this"),
        ({"replicaof": "127.0.0.1 1"}, "", "it is a read-only replica"),
    ],
    ids=["full", "no password", "wrong password", "no rights", "read-only"],
)
async def test_a_redis_that_refuses_is_named_with_the_reason(
    kafka_bootstrap: str,
    prefix: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    configured: dict[str, str],
    credentials: str,
    reason: str,
) -> None:
    caplog.set_level(logging.INFO)
    with local_redis(tmp_path) as service:
        _refuse(service.url, configured)
        url = service.url.replace("redis://", f"redis://{credentials}")
        settings = settings_on(kafka_bootstrap, url, prefix)
        async with log_on(settings) as broker:
            store = RedisStore(url, prefix)
            async with remembering(broker, store) as agent:

                async def unavailable() -> bool:
                    return agent.state == "unavailable"

                await until(unavailable)
                assert reason in agent.reason
                async with second_store(url, prefix) as asking:
                    with suppress(StoreError):
                        await asking.start()
                    health = await health_of(settings, broker, asking, None, WallClock())
                assert any(reason in each for each in health["reasons"]), health["reasons"]
    said = [each for each in caplog.records if each.name == "FinAgentOrchestrator"]
    assert said[0].getMessage() == UNAVAILABLE
    assert reason in said[1].getMessage()
    assert not any(each.exc_info for each in caplog.records)
    assert "secret" not in caplog.text
    assert "wrong@" not in caplog.text


def _refuse(url: str, configured: dict[str, str]) -> None:
    with redis.Redis.from_url(url) as client:
        for name, value in configured.items():
            if name == "user":
                client.acl_setuser(
                    value, enabled=True, passwords=["+pass"], keys=["*"], commands=["-@all", "+@read", "+ping"]
                )
            elif name == "replicaof":
                client.replicaof(*value.split())
            else:
                client.config_set(name, value)


async def test_kill_9_of_the_process_loses_and_doubles_nothing(
    kafka_bootstrap: str, redis_url: str, prefix: str, history: list[Record], tmp_path: Path
) -> None:
    settings = settings_on(kafka_bootstrap, redis_url, prefix)
    environment = {
        "FINAGENT_KAFKA__BOOTSTRAP": kafka_bootstrap,
        "FINAGENT_KAFKA__PREFIX": prefix,
        "FINAGENT_REDIS__URL": redis_url,
        "FINAGENT_MEMORY__MAX_EVENTS": str(LIMITS.max_events),
        "FINAGENT_MEMORY__TTL_S": str(LIMITS.ttl_s),
    }
    store = RedisStore(redis_url, prefix)
    await store.start()
    async with log_on(settings) as broker:
        with processes(tmp_path, environment) as children:
            children.start("memory", ["memory"])
            half = len(history) // 2
            for part in (history[:half], history[half:]):
                await broker.publish(part)
                await until(_written(store, part))
                children.kill("memory")
                # Another one is there before the lease of the killed one has run out.
                children.start("memory", ["memory"])
            await caught_up(broker, store)
            children.check()
            assert await digest(store) == await undisturbed(history)
            last = f":{children.running['memory'].pid}"

            async def told() -> bool:
                health = await health_of(settings, broker, store, None, WallClock())
                return any(str(each["process"]).endswith(last) for each in health["tasks"] if each["pool"] == "memory")

            await until(told)
            children.stop()
            assert children.log("memory").read_text().rstrip().endswith("the memory agent has stopped")
        _use_the_command_line(redis_url, kafka_bootstrap, prefix)
    await store.stop()
    await _drop(redis_url, prefix)


def _written(store: RedisStore, part: Sequence[Record]) -> Callable[[], Awaitable[bool]]:
    """Return whether something of a part of the log is in memory: it may be the middle of the work on it."""
    names = [dict(each.headers)["ce_id"].decode() for each in part if _kind(each) != "SliceClosed"]

    async def written() -> bool:
        return any(await store.get_many([event_key(name) for name in names]))

    return written


def _use_the_command_line(redis_url: str, bootstrap: str, prefix: str) -> None:
    there = ["--redis", redis_url, "--prefix", prefix]
    events = json.loads(
        _finagent("query", "--symbol", "AAPL", "--kind", "OrderFilled", "--limit", "2", "--json", *there)
    )
    assert [each["type"] for each in events] == ["OrderFilled"] * 2
    table = _finagent("query", "--id", events[0]["message_id"], *there)
    assert events[0]["says"] in table
    dated = json.loads(
        _finagent("query", "--strategy", "s-run", "--since", "2012-06-01", "--until", "2012-06-01", "--json", *there)
    )
    assert {each["time"][:10] for each in dated} == {"2012-06-01"}
    found: dict[str, Any] = json.loads(_finagent("rebuild", "--check", "--json", "--kafka", bootstrap, *there))
    # The process runs with bounds of its own: the default ones give more.
    assert found["equal"] is False
    rebuilt = json.loads(_finagent("rebuild", "--json", "--kafka", bootstrap, *there))
    assert rebuilt["digest"] == found["from_log"]


def _finagent(*arguments: str) -> str:
    command = [sys.executable, "-m", "infra.cli", "memory", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert "error" not in done.stderr
    return done.stdout
