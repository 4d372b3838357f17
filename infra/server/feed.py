"""Market data that the server itself publishes, paced, so that what is submitted trades at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from agents.data.feed import Feed
from infra.cli.feed_source import Source
from infra.cli.feeding import CHECK_S, Pace, publish
from infra.server.live import LiveView
from infra.server.models import FeedStatus
from orchestrator.facade import FinAgentOrchestrator
from streams.errors import FinAgentError
from streams.record import rfc3339
from streams.retrying import set_within

log = logging.getLogger("finagent.server")
_LOOK_S = 0.1
_TELL_S = 0.5


@dataclass(frozen=True)
class FeedPlan:
    """What is published, how fast, and when it begins."""

    source: Source
    pace: Pace
    delay_s: float = 0.0
    wait_for_strategy: bool = False
    """Begin when the first run is on the data plane."""


@dataclass
class ServedFeed:
    """The feed of this process."""

    plan: FeedPlan
    orchestrator: FinAgentOrchestrator
    live: LiveView
    status: Literal["waiting", "running", "completed", "stopped", "failed"] = "waiting"
    reason: str = ""
    published: int = 0
    last: int = -1
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    _told: float = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Publish while the block lasts; leave after the transaction that is being written."""
        task = asyncio.create_task(self._run(), name="served feed")
        try:
            yield
        finally:
            self.stop.set()
            await asyncio.wait([task])

    def view(self) -> FeedStatus:
        """Return how far it is."""
        source = self.plan.source
        return FeedStatus(
            status=self.status,
            source=source.name,
            synthetic=source.synthetic,
            instruments=[each.instrument_id for each in source.instruments],
            rows=source.rows,
            published=self.published,
            last=rfc3339(self.last) if self.last >= 0 else None,
            reason=self.reason,
        )

    async def _run(self) -> None:
        try:
            feed = await self.orchestrator.feed()
            await feed.reference_data(self.plan.source.instruments)
            if await self._begins():
                self._change("running", "")
                fed = await publish(feed, self.plan.source.slices, self.plan.pace, self.stop, self._progress(feed))
                self.last = fed.until
                self._change("stopped" if fed.interrupted else "completed", "")
                while not await set_within(self.stop, CHECK_S):
                    # No slice comes any more by itself, and a stop or a kill switch waits for one.
                    await feed.close_empty()
            else:
                self._change("stopped", "")
        except FinAgentError as error:
            log.error("the feed of %s failed: %s", self.plan.source.name, error)
            self._change("failed", str(error))

    async def _begins(self) -> bool:
        """Wait for the beginning; return whether it comes."""
        if self.plan.wait_for_strategy:
            self._change("waiting", "waits for the first strategy with action run")
            while not self.live.runs:
                if await set_within(self.stop, _LOOK_S):
                    return False
        if self.plan.delay_s:
            self._change("waiting", f"begins {self.plan.delay_s:g} s later")
            return not await set_within(self.stop, self.plan.delay_s)
        return not self.stop.is_set()

    def _progress(self, feed: Feed) -> Callable[[int], None]:
        loop = asyncio.get_running_loop()

        def told(rows: int) -> None:
            self.published += rows
            self.last = feed.state.last_slice
            if loop.time() - self._told >= _TELL_S:
                self._told = loop.time()
                self._tell()

        return told

    def _change(self, status: Literal["waiting", "running", "completed", "stopped", "failed"], reason: str) -> None:
        self.status, self.reason = status, reason
        self._tell()

    def _tell(self) -> None:
        said = self.view()
        self.live.tell("feed", said.model_dump_json)
