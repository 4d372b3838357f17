"""A watch on progress: a process that stands still must end, so that its supervisor starts another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from streams.errors import StoodStill
from streams.record import TopicPartition

LOOK_S = 5.0
"""How often it looks."""
STILL_S = 60.0
"""How long an orchestrator may own nothing for sure, or not read on although there is more."""
Positions = Callable[[], Awaitable[Mapping[TopicPartition, tuple[int, int]]]]
"""Returns position and end of each input."""


class Watch:
    """Fails where the group does not settle, or an input is not read on."""

    def __init__(self, settled: Callable[[], bool], positions: Positions, still_s: float = STILL_S) -> None:
        self._settled = settled
        self._positions = positions
        self._still_s = still_s
        self._since: dict[tuple[str, int], float] = {}

    async def run(self) -> None:
        """Look until something stands still; raise StoodStill that says what."""
        while True:
            await asyncio.sleep(min(LOOK_S, self._still_s / 4))
            await self.look(time.monotonic())

    async def look(self, now: float) -> None:
        """Note what stands still now, s; raise StoodStill for what has for too long."""
        still = await self._still()
        self._since = {what: self._since.get(what, now) for what in still}
        for (what, _), since in self._since.items():
            if now - since >= self._still_s:
                raise StoodStill(f"{what} for {now - since:.0f} s")

    async def _still(self) -> list[tuple[str, int]]:
        """Return what stands still, with the position where it does."""
        if not self._settled():
            return [("the group has not shared out its partitions", 0)]
        try:
            async with asyncio.timeout(self._still_s / 4):
                positions = await self._positions()
        except Exception:  # whatever Faust or the client raise: Kafka does not answer
            return [("Kafka has not said where the inputs end", 0)]
        return [
            (f"{place.topic}[{place.partition}] was not read on from {at}", at)
            for place, (at, end) in positions.items()
            if at < end
        ]
