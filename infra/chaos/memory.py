"""A Redis that can be killed and brought back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from infra.services.processes import kill
from infra.services.redis import RedisService, start_redis, stop_redis
from orchestrator.heartbeat import reports
from orchestrator.settings import load
from orchestrator.wiring import store_of
from streams.errors import StoreError
from streams.store import Store

WRITTEN_S = 60.0
_AGAIN_S = 0.1


@dataclass
class Memory:
    """A local Redis, and when it was last started."""

    folder: Path
    service: RedisService
    since_ns: int = 0

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path) -> AsyncIterator[Memory]:
        """Run a Redis in a folder until the block ends."""
        try:
            yield cls(folder, await asyncio.to_thread(start_redis, folder))
        finally:
            await asyncio.to_thread(stop_redis, folder)

    async def kill(self) -> int:
        """End it as kill -9 does; return its pid."""
        pid = self.service.pid
        await asyncio.to_thread(kill, [pid])
        return pid

    async def start(self) -> None:
        """Bring it back on its data."""
        self.service = await asyncio.to_thread(start_redis, self.folder)
        self.since_ns = time.time_ns()

    async def written(self) -> None:
        """Return once a heartbeat was written to it since it was started; raise StoreError where none comes."""
        store = store_of(load(overrides={"redis": {"url": self.service.url}}, environ={}))
        try:
            async with asyncio.timeout(WRITTEN_S):
                while not await self._has_news(store):  # noqa: ASYNC110 - Redis tells nobody of a write
                    await asyncio.sleep(_AGAIN_S)
        except TimeoutError:
            raise StoreError(f"no heartbeat came to Redis within {WRITTEN_S:g} s of its return") from None
        finally:
            await store.stop()

    async def _has_news(self, store: Store) -> bool:
        with suppress(StoreError):
            await store.start()
            return any(report["updated"] > self.since_ns for report in await reports(store))
        return False
