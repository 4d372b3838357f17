"""An outage of the store is told once by a process, whoever of it meets the outage first."""

from __future__ import annotations

import asyncio

import pytest

from agents.memory.availability import UNAVAILABLE, Availability
from agents.memory.limits import MemoryLimits
from orchestrator.heartbeat import beat_process
from orchestrator.remembering import memory_agent
from streams.clock import WallClock
from streams.errors import StoreError
from streams.memory_broker import MemoryBroker
from streams.store import MemoryStore


def told(caplog: pytest.LogCaptureFixture) -> int:
    return [record.getMessage() for record in caplog.records].count(UNAVAILABLE)


def test_an_outage_is_told_once_and_the_next_one_again(caplog: pytest.LogCaptureFixture) -> None:
    availability, error = Availability(), StoreError("gone")
    for who in ("heartbeat", "memory agent", "heartbeat"):
        availability.lost(who, error)
    assert told(caplog) == 1
    availability.back("heartbeat")
    availability.lost("heartbeat", error)
    assert told(caplog) == 1, "the other one is still without"
    availability.back("heartbeat")
    availability.back("memory agent")
    availability.lost("memory agent", error)
    assert told(caplog) == 2


class Gone(MemoryStore):
    """Nothing answers."""

    async def start(self) -> None:
        raise StoreError("gone")

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        raise StoreError("gone")


async def test_agent_and_heartbeat_of_one_process_tell_it_once(caplog: pytest.LogCaptureFixture) -> None:
    store, stop, clock = Gone(), asyncio.Event(), WallClock()
    agent = memory_agent(MemoryLimits(), MemoryBroker(), store, clock)
    beats = 0

    def handled() -> int:
        nonlocal beats
        beats += 1
        return 0

    beating = beat_process("memory", handled, store, clock, stop, every_s=0.01, availability=agent.availability)
    work = [asyncio.create_task(each) for each in (agent.run(stop), beating)]
    async with asyncio.timeout(10):
        while beats < 3 or agent.state != "unavailable":  # noqa: ASYNC110 - both go on by themselves
            await asyncio.sleep(0.01)
    stop.set()
    await asyncio.gather(*work)
    assert told(caplog) == 1
