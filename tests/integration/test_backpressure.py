"""A pool that is far behind another holds little of what waits, and catches up to the same decisions."""

from __future__ import annotations

import asyncio

import pytest

from agents.alpha.pool import build as build_alpha
from orchestrator.wiring import kinds_of
from streams import memory_broker, task
from streams.host import Host
from streams.task import Task
from tests.dataplane import SERDE, Plane, sample, started

LIMIT, POLL = 40, 20
SYMBOLS = ("AAPL", "GOOGL", "IBM", "MSFT")
TOPICS = ("signals", "targets", "risk", "orders", "fills", "positions")


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a task hold little back, and a poll bring little."""
    take = memory_broker._MemoryReader._take
    monkeypatch.setattr(task, "MAX_WAITING", LIMIT)
    monkeypatch.setattr(memory_broker._MemoryReader, "_take", lambda reader, limit: take(reader, min(limit, POLL)))


async def alpha_alone(plane: Plane, signals: int) -> None:
    """Run alpha until it has read all market data, so that its signals lie far ahead of every other pool."""
    host = Host(plane.broker, kinds_of(build_alpha()), plane.partitions, plane.clock, SERDE)
    work = asyncio.create_task(host.run())
    await plane.until(lambda: len(plane.events("signals")) >= signals, f"{signals} signals")
    host.stop.set()
    await work


async def decided(late: bool) -> tuple[dict[str, list[str]], int]:
    """Return the ids of what was decided, and the most records that a task held back after a commit."""
    instruments, slices = sample(SYMBOLS, "2012-01-03", "2012-03-30")
    plane, most = Plane(), 0

    def note(done: Task) -> None:
        nonlocal most
        most = max(most, done._progress.waiting)

    if late:
        await plane.create()
        await plane.announce(started("run", instruments))
        async with plane.feeding() as feed:
            await feed.publish(slices)
        # Of each instrument, from the third day on: momentum looks two days back.
        await alpha_alone(plane, (len(slices) - 2) * len(SYMBOLS))
    async with plane.running():
        assert plane.host is not None
        attentive = plane.host.on_commit
        plane.host.on_commit = lambda done: (attentive(done), note(done))[0]
        if late:
            await plane.done(slices)
        else:
            await plane.announce(started("run", instruments))
            await plane.publish(slices)
    return {topic: plane.ids(topic) for topic in TOPICS}, most


async def test_a_pool_far_behind_another_catches_up_and_holds_little() -> None:
    expected, _ = await decided(late=False)
    found, most = await decided(late=True)
    assert found == expected
    assert len(expected["signals"]) > 5 * LIMIT, "as many bars and closings of slices wait besides"
    assert len(expected["orders"]) > 10
    assert most <= 3 * LIMIT
