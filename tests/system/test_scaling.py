"""A pool of 1, 4, then 2 processes under load on real Kafka: the same decisions, each once, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import load
from schemas import Bar, OrderFilled
from streams.broker import partition_of
from streams.record import Event
from streams.tail import tail
from tests.system.cluster import DECISIONS, Cluster, cluster, decisions, half_year, on, rotation

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(240)]
POOL, PARTITIONS = "risk", 4
SLICES = 110
Scaled = Callable[[list[list[Bar]], Callable[[list[list[Bar]]], Awaitable[None]]], Awaitable[None]]


def accounts() -> list[str]:
    """Return two accounts of each partition."""
    names = [f"acct-{number}" for number in range(100)]
    of = {part: [name for name in names if partition_of(name, PARTITIONS) == part] for part in range(PARTITIONS)}
    return [name for part in of.values() for name in part[:2]]


async def traded(client: FinAgentOrchestrator, scaled: Scaled | None = None) -> Sequence[Event]:
    """Trade on all accounts; return every decision in the order of the log."""
    feed = await client.feed()
    async with tail(client.broker, client.serde, DECISIONS) as followed:
        for account in accounts():
            strategy = replace(rotation(), strategy_id=f"rotation-{account}")
            await client.start_strategy(
                strategy, initial_cash=100_000, account_id=account, check_history=False, run_id=account
            )

        async def publish(slices: list[list[Bar]]) -> None:
            for slice_ in slices:
                await feed.publish([slice_])
                await followed.poll(0)

        slices = half_year()[:SLICES]
        await (scaled(slices, publish) if scaled else publish(slices))
        await followed.slice_done(feed.state.last_slice, client.partitions, 120)
    return followed.events


async def owners(system: Cluster) -> set[str]:
    """Return the processes that report a task of the pool."""
    health = await system.client.get_health_status()
    return {each["process"] for each in health["tasks"] if each["task"].rpartition(".")[0] == POOL}


async def test_scaling_under_load_changes_no_decision_and_no_order(
    kafka_bootstrap: str, redis_url: str, prefix: str, tmp_path: Path
) -> None:
    embedded = FinAgentOrchestrator(settings=load(overrides={"log_level": "WARNING"}, environ={}))
    await embedded.initialize()
    try:
        expected = decisions(await traded(embedded))
    finally:
        await embedded.shutdown()

    settings = on(kafka_bootstrap, redis_url, prefix, account=PARTITIONS, instrument=1)
    async with cluster(settings, tmp_path, leave_out=["transaction_cost"]) as system:

        async def scaled(slices: list[list[Bar]], publish: Callable[[list[list[Bar]]], Awaitable[None]]) -> None:
            remaining = deque(slices)

            async def more(count: int) -> None:
                await publish([remaining.popleft() for _ in range(min(count, len(remaining)))])

            async def until(processes: int, keep: int) -> None:
                """Publish, while some are left beyond those to keep, until so many processes have tasks."""
                async with asyncio.timeout(90):
                    while len(await owners(system)) != processes:
                        system.children.check()
                        await more(int(len(remaining) > keep))

            await more(10)
            for number in (2, 3, 4):
                system.children.start(f"{POOL}-{number}", ["pool", POOL])
            await until(4, keep=60)
            await more(20)
            stopped = [system.children.running.pop(name) for name in (POOL, f"{POOL}-3")]
            for process in stopped:
                process.terminate()
            await until(2, keep=20)
            assert [await asyncio.to_thread(process.wait) for process in stopped] == [0, 0]
            await more(SLICES)

        events = await traded(system.client, scaled)
    found = decisions(events)
    assert len(events) == len(found), "a decision stands on the log twice"
    assert found == expected, "the same decisions, byte for byte, as the embedded run with one partition"
    assert sum(isinstance(event.message, OrderFilled) for event in events) > 100
    assert inversions(events) == []


def inversions(events: Sequence[Event]) -> list[tuple[str, str]]:
    """Return the topics and keys on which a slice follows a later one."""
    last: dict[tuple[str, str], int] = {}
    found = []
    for event in sorted(events, key=lambda event: event.record.offset):
        place, slice_ = (event.record.topic, event.record.key), event.envelope.slice or 0
        if slice_ < last.get(place, 0):
            found.append(place)
        last[place] = max(slice_, last.get(place, 0))
    return found
