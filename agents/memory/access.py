"""The memory as a workflow step sees it: read from the step's own thread."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from agents.memory.reader import Memory
from streams.errors import StoreError

T = TypeVar("T")


@dataclass(frozen=True)
class MemoryAccess:
    """Reads the memory; every call waits up to timeout_s and raises StoreError where the store does not answer."""

    memory: Memory
    loop: asyncio.AbstractEventLoop
    """Where the store's connection lives; never the calling thread's."""
    timeout_s: float = 5.0

    def query(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return events, newest first, as Memory.query."""
        return self._read(self.memory.query(**wanted))

    def latest(self, run_id: str) -> dict[str, Any]:
        """Return the latest state of a run, as Memory.latest."""
        return self._read(self.memory.latest(run_id))

    def runs(self, strategy_id: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """Return the latest states of runs, as Memory.runs."""
        return self._read(self.memory.runs(strategy_id, limit))

    def log(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return what happened last, as Memory.log."""
        return self._read(self.memory.log(limit))

    def _read(self, reading: Coroutine[Any, Any, T]) -> T:
        pending = asyncio.run_coroutine_threadsafe(reading, self.loop)
        try:
            return pending.result(self.timeout_s)
        except TimeoutError:
            pending.cancel()
            raise StoreError(f"the memory did not answer within {self.timeout_s:g} s") from None
