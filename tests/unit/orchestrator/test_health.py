"""Health: every status and reason, from reports as tasks write them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import pytest

from orchestrator.facade import FinAgentOrchestrator
from orchestrator.health import health_of
from orchestrator.heartbeat import PREFIX, PROCESS, beat, beat_process, missed, reports
from orchestrator.settings import Settings
from orchestrator.wiring import kinds_of, pools_of
from streams.broker import TopicConfig
from streams.clock import ManualClock, WallClock
from streams.errors import BrokerError, StoreError
from streams.memory_broker import MemoryBroker
from streams.record import Record, rfc3339
from streams.store import MemoryStore
from tests.dataplane import Plane, sample, started

T = TypeVar("T")
SECOND = 10**9
NOW = 1_700_000_000 * SECOND
SETTINGS = Settings()
EXPECTED = sorted({kind.name for pool in pools_of(SETTINGS) for kind in kinds_of(pool)} | {"orchestrator"})


class World:
    """A broker with topics, and a store in which every task has just reported."""

    def __init__(self) -> None:
        self.broker, self.store, self.clock = MemoryBroker(), MemoryStore(), ManualClock(NOW)

    async def start(self) -> World:
        names = ("ticks", "bars", "signals", "fills", "steps", "commands")
        await self.broker.create_topics({name: TopicConfig(1) for name in names})
        for kind in EXPECTED:
            await self.task(f"{kind}.0")
        return self

    async def task(self, name: str, positions: Mapping[str, int] | None = None, **more: Any) -> None:
        found = {"task": name, "pool": name.rpartition(".")[0], "slice": -1, "moved": NOW, "updated": NOW}
        found = {**found, "positions": positions or {}, "working_since": None, **more}
        await self.store.set(PREFIX + name, json.dumps(found).encode())

    async def records(self, name: str, count: int) -> None:
        await self.broker.publish([Record(name, "k", b"v", (), 0)] * count)

    async def health(self, settings: Settings = SETTINGS) -> tuple[str, list[str]]:
        found = await health_of(settings, self.broker, self.store, None, self.clock)
        return found["status"], found["reasons"]


@pytest.fixture
async def world() -> World:
    return await World().start()


async def test_all_is_well(world: World) -> None:
    assert await world.health() == ("healthy", [])


async def test_a_kind_of_task_without_a_report_is_missed(world: World) -> None:
    await world.store.delete(PREFIX + "risk.0")
    await world.store.delete(PREFIX + "orchestrator.0")
    assert await world.health() == ("degraded", ["no orchestrator task is alive", "no risk task is alive"])


@pytest.mark.parametrize(
    ("still_s", "status"), [(0, "healthy"), (14, "healthy"), (15, "degraded"), (59, "degraded"), (60, "critical")]
)
async def test_a_task_that_stands_still_while_records_wait(world: World, still_s: int, status: str) -> None:
    await world.records("bars", 5)
    moved = NOW - still_s * SECOND
    await world.task("alpha.0", {"bars:0": 2, "ticks:0": 0}, moved=moved)
    reason = f"alpha.0 has not moved since {rfc3339(moved)} while records wait: 3 of bars"
    assert await world.health() == (status, [] if status == "healthy" else [reason])


async def test_a_task_with_nothing_to_take_may_stand_still_for_ever(world: World) -> None:
    await world.records("bars", 5)
    await world.task("alpha.0", {"bars:0": 5, "ticks:0": 0}, moved=0)
    assert (await world.health())[0] == "healthy"


async def test_reports_that_wait_for_the_next_slice_are_no_standstill(world: World) -> None:
    await world.records("fills", 3)
    await world.task("portfolio.0", {"bars:0": 0, "ticks:0": 0, "fills:0": 0}, moved=0)
    assert (await world.health())[0] == "healthy"
    await world.task("portfolio.0", {"fills:0": 0}, moved=0)
    assert (await world.health())[0] == "critical", "a pool outside slices takes them at once"


async def test_thresholds_are_settings(world: World) -> None:
    await world.records("steps", 1)
    await world.task("data.steps.0", {"steps:0": 0}, moved=NOW - 2 * SECOND)
    strict = Settings.from_dict({"observability": {"stall_degraded_s": 1, "stall_critical_s": 2}})
    assert (await world.health())[0] == "healthy"
    assert (await world.health(strict))[0] == "critical"


async def test_a_long_step_is_told_of_and_no_more(world: World) -> None:
    await world.records("steps", 3)
    began = NOW - 300 * SECOND
    await world.task("data.steps.0", {"steps:0": 0}, moved=began, working_since=NOW - 30 * SECOND)
    assert await world.health() == ("healthy", [])
    await world.task("data.steps.0", {"steps:0": 0}, moved=began, working_since=began)
    assert await world.health() == (
        "degraded",
        [f"data.steps.0 has been at one piece of work since {rfc3339(began)}"],
    )


async def test_the_lag_that_a_process_tells_itself_counts_too(world: World) -> None:
    await world.task("orchestrator.0", lag={"commands:0": 7}, moved=NOW - 20 * SECOND)
    status, [reason] = await world.health()
    assert (status, reason.partition(" while ")[2]) == ("degraded", "records wait: 7 of commands")


async def test_lag_stands_in_the_reports(world: World) -> None:
    await world.records("bars", 5)
    await world.task("alpha.0", {"bars:0": 2, "ticks:0": 0, "gone:0": 4})
    found = await health_of(SETTINGS, world.broker, world.store, None, world.clock)
    [alpha] = [each for each in found["tasks"] if each["task"] == "alpha.0"]
    assert alpha["lag"] == {"bars:0": 3, "ticks:0": 0}
    assert alpha["behind"] == 3


async def test_high_memory_degrades_and_names_the_process(world: World) -> None:
    own = {"process": "host:7", "pools": ["risk", "risk.steps"], "memory_bytes": 8_500_000_000, "high_memory": True}
    await world.store.set(PROCESS + "host:7", json.dumps(own).encode())
    reason = "process host:7 (risk, risk.steps) uses 8.5GB, observability.high_memory_gb is 8"
    assert await world.health() == ("degraded", [f"high memory usage: {reason}"])


async def test_the_process_that_asks_counts_unless_its_heartbeat_tells_of_it(world: World) -> None:
    own = {"process": "host:7", "pools": [], "memory_bytes": 9_000_000_000, "high_memory": True}
    found = await health_of(SETTINGS, world.broker, world.store, None, world.clock, own)
    assert found["processes"] == [own]
    [reason] = found["reasons"]
    assert reason.startswith("high memory usage: process host:7 (no pools) uses 9.0GB")
    told = {**own, "pools": ["risk"], "memory_bytes": 1, "high_memory": False}
    await world.store.set(PROCESS + "host:7", json.dumps(told).encode())
    found = await health_of(SETTINGS, world.broker, world.store, None, world.clock, own)
    assert (found["processes"], found["reasons"]) == ([told], [])


async def test_a_full_disk_degrades(world: World) -> None:
    status, [reason] = await world.health(Settings.from_dict({"observability": {"full_disk_ratio": 0.001}}))
    assert status == "degraded"
    assert "full, observability.full_disk_ratio is 0.001" in reason


async def test_a_broker_that_raises_or_hangs_is_critical(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.health.ANSWER_S", 0.05)

    async def refuses() -> Mapping[str, int]:
        raise BrokerError("gone")

    async def hangs() -> Mapping[str, int]:
        return await asyncio.Future()

    for topics, reason in (
        (refuses, "the broker does not answer: gone"),
        (hangs, "the broker does not answer within 0.05 s"),
    ):
        monkeypatch.setattr(world.broker, "topics", topics)
        assert await world.health() == ("critical", [reason])


async def test_a_store_that_does_not_answer_degrades(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(prefix: str) -> list[str]:
        raise StoreError("away")

    monkeypatch.setattr(world.store, "scan", refuses)
    assert await world.health() == ("degraded", ["the store does not answer: away"])


async def until(found: Callable[[], Awaitable[T]], timeout_s: float = 10) -> T:
    """Ask again until the answer is not empty."""
    async with asyncio.timeout(timeout_s):
        while True:
            if answer := await found():
                return answer
            await asyncio.sleep(0.01)


@asynccontextmanager
async def beating(store: MemoryStore, *, politely: bool) -> AsyncIterator[None]:
    """Let a memory agent tell of itself; it ends on request, or without a word."""
    stop = asyncio.Event()
    telling = asyncio.create_task(beat_process("memory", lambda: 3, store, WallClock(), stop, every_s=0.01))
    await until(lambda: store.scan(PREFIX + "memory"))
    yield
    if politely:
        stop.set()
    else:
        telling.cancel()
    with suppress(asyncio.CancelledError):
        await telling


async def test_a_memory_agent_is_missed_once_it_was_seen_and_died(world: World) -> None:
    assert await world.health() == ("healthy", [])
    async with beating(world.store, politely=True):
        assert await missed(world.store) == {"memory"}
        assert (await world.health())[0] == "healthy"
    assert await world.health() == ("healthy", [])
    async with beating(world.store, politely=False):
        pass
    for key in await world.store.scan(PREFIX + "memory"):
        await world.store.delete(key)  # as its time to live would
    assert await world.health() == ("degraded", ["no memory task is alive"])
    async with beating(world.store, politely=False):
        assert await world.health() == ("healthy", [])


async def test_a_lag_that_cannot_be_told_does_not_stop_the_heartbeat(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "FinAgentOrchestrator")
    store, stop = MemoryStore(), asyncio.Event()

    async def broken() -> Mapping[str, int]:
        raise RuntimeError("no partitions now")

    work = beat_process("orchestrator", lambda: 1, store, WallClock(), stop, every_s=0.01, lag=broken)
    telling = asyncio.create_task(work)
    found = await until(lambda: reports(store))
    stop.set()
    await telling
    assert found[0]["lag"] == {}
    assert "no partitions now" in caplog.text


async def test_real_tasks_report_their_positions_and_when_they_moved() -> None:
    plane, store = Plane(), MemoryStore()
    instruments, slices = sample(("AAPL",), "2012-01-03", "2012-01-13")
    async with plane.running():
        assert plane.host is not None
        telling = asyncio.create_task(beat(plane.host, store, WallClock(), every_s=0.01))
        await plane.announce(started("run", instruments))
        await plane.publish(slices)
        ends = len(plane.records("bars"))

        async def through() -> bool:
            return all(each["positions"].get("bars:0", ends) == ends for each in await reports(store))

        await until(through)
        found = {each["task"]: each for each in await reports(store)}
        assert {"alpha.0", "portfolio.0", "risk.0", "execution.0"} <= found.keys()
        moved = found["alpha.0"]["moved"]
        assert 0 < moved <= found["alpha.0"]["updated"]
        assert found["alpha.0"]["counts"]["messages"] == {"bars": len(slices), "strategies": 1}
    await telling
    assert await reports(store) == []


async def test_the_facade_warns_of_its_own_memory_and_tells_it(caplog: pytest.LogCaptureFixture) -> None:
    orchestrator = FinAgentOrchestrator({"observability": {"high_memory_gb": 0.01}})
    await orchestrator.initialize()
    try:

        async def told() -> bool:
            return any("high memory" in each for each in (await orchestrator.get_health_status())["reasons"])

        await until(told)
        lines = [record.getMessage() for record in caplog.records if record.name == "FinAgentOrchestrator"]
        assert sum(line.startswith("High memory usage detected: ") for line in lines) == 1
    finally:
        await orchestrator.shutdown()
