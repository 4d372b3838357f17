"""The shared memory of a system in one process: nobody else could keep it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchestrator import remembering
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.wiring import store_of


@asynccontextmanager
async def remembered(orchestrator: FinAgentOrchestrator) -> AsyncIterator[None]:
    """Run a memory agent while the block lasts; on Kafka `finagent memory` is a process of its own."""
    settings = orchestrator.settings
    if settings.kafka.bootstrap:
        yield
        return
    store = store_of(settings) if settings.redis.url else orchestrator.store
    # The log began with this process, whatever a store on Redis still has of another one.
    agent = remembering.memory_agent(settings.memory, orchestrator.broker, store, orchestrator.clock, fresh=True)
    stop = asyncio.Event()
    running = asyncio.create_task(agent.run(stop), name="memory agent")
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait([running])
        if settings.redis.url:
            await store.stop()
