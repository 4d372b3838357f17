"""The shared memory of a system: the agent that keeps it, building it again, and checking it against the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agents.memory.agent import MemoryAgent
from agents.memory.digest import digest
from agents.memory.keys import OFFSETS
from agents.memory.limits import MemoryLimits
from agents.memory.writing import offsets_of
from orchestrator.summaries import summary
from streams.broker import Broker
from streams.clock import Clock
from streams.errors import StoreError
from streams.serde import Serde
from streams.store import Changes, MemoryStore, Store

_AGAIN_S = 0.1


def memory_agent(
    limits: MemoryLimits,
    broker: Broker,
    store: Store,
    clock: Clock,
    serde: Serde | None = None,
    *,
    fresh: bool = False,
) -> MemoryAgent:
    """Return the agent that keeps the memory of a broker's log in a store.

    fresh: drop what the store has first, as where the log began with this process.
    """
    return MemoryAgent(broker, store, limits, summary, clock, serde or Serde(), fresh)


async def rebuild(limits: MemoryLimits, broker: Broker, store: Store, clock: Clock, serde: Serde | None = None) -> None:
    """Drop what the store has and read the log again, to where it ends now; a running agent does so, else this call.

    Raises StoreError where the store fails.
    """
    await store.start()
    await store.apply(Changes(delete=[OFFSETS]))
    async with _kept(memory_agent(limits, broker, store, clock, serde)) as agent:
        await _caught_up(agent)


async def check(
    limits: MemoryLimits, broker: Broker, store: Store, clock: Clock, serde: Serde | None = None
) -> tuple[str, str]:
    """Return the digest of what the store has, and of what the log gives when it is read anew; equal where all is well.

    Raises StoreError where the store fails, or where the log goes on meanwhile so that they cannot be compared.
    """
    await store.start()
    async with _kept(memory_agent(limits, broker, store, clock, serde)) as agent:
        await _caught_up(agent)
        found, reached = await digest(store), await store.get(OFFSETS)
    anew = MemoryStore()
    async with _kept(memory_agent(limits, broker, anew, clock, serde)) as agent:
        await _caught_up(agent)
        expected = await digest(anew)
    if reached != await anew.get(OFFSETS):
        raise StoreError("the log went on meanwhile: check again when it is quiet")
    return found, expected


@asynccontextmanager
async def _kept(agent: MemoryAgent) -> AsyncIterator[MemoryAgent]:
    """Run an agent until the block ends; raise what ended it before."""
    stop = asyncio.Event()
    running = asyncio.create_task(agent.run(stop))
    try:
        yield agent
    finally:
        stop.set()
        await running


async def _caught_up(agent: MemoryAgent) -> None:
    """Wait until the store, whoever writes it, has all that the log has now; raise StoreError where it fails."""
    ends = await agent.broker.ends(await agent.places())
    while agent.state != "unavailable":
        reached = offsets_of(await agent.store.get(OFFSETS)) or {}
        if all(reached.get(place, 0) >= end for place, end in ends.items()):
            return
        await asyncio.sleep(_AGAIN_S)
    raise StoreError(agent.reason)
