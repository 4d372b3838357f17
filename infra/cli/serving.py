"""Run tasks in this process until it is asked to stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from infra.cli.connection import PATIENCE_S, connected, make_topics, memory, speaking
from infra.cli.exits import task_failed
from infra.observability.exposition import own_page
from orchestrator.heartbeat import Report, beat, report
from orchestrator.load import MemoryWatch
from orchestrator.settings import Settings
from orchestrator.wiring import partitions_of, snapshots_of
from streams.clock import WallClock
from streams.host import Host, TaskKind

log = logging.getLogger("finagent.cli")


async def serve(settings: Settings, kinds: Sequence[TaskKind], what: str, stop: asyncio.Event) -> None:
    """Take part in the groups of these tasks until stop is set; exit code 3 where one fails for good."""
    async with connected(settings, stop, PATIENCE_S) as broker, memory(settings) as store:
        await make_topics(settings, broker, kinds, stop, PATIENCE_S)
        broker, serde = await speaking(settings, broker, None, [kind.name for kind in kinds], stop, PATIENCE_S)
        clock, watch = WallClock(), MemoryWatch(settings.observability.high_memory_gb)
        snapshots = snapshots_of(settings, store)
        host = Host(broker, kinds, partitions_of(settings), clock, serde, stop=stop, snapshots=snapshots)
        beating = asyncio.create_task(beat(host, store, clock, memory=watch))
        log.info("%s runs on %s", what, settings.kafka.bootstrap)

        async def told() -> list[Report]:
            return [report(task, clock) for task in list(host.tasks.values())]

        try:
            async with own_page(settings, told, clock):
                await host.run()
        except Exception as error:
            raise task_failed(error) from error
        finally:
            await beating
        log.info("%s has stopped", what)
