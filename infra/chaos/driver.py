"""Drive a run: start the strategies, feed the slices, send the rounds, and notice where nothing moves any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from agents.data.feed import Feed
from infra.chaos.market import Market
from infra.chaos.plan import Fault
from infra.chaos.progress import Progress
from infra.chaos.reference import CHUNK, start_runs
from infra.chaos.rounds import fault_round, regular_round, regular_rounds
from infra.chaos.striking import Striker
from orchestrator.facade import FinAgentOrchestrator
from schemas import Command
from streams.errors import BrokerError, Fenced, ServiceError

log = logging.getLogger("finagent.chaos")
READY_S = 300.0
"""How long the processes of a fresh system may take until they answer."""
STALL_S = 120.0
"""Without any progress for so long a run has failed."""
AHEAD = 200
"""Slices that stand on the log beyond the last one that all tasks have done."""
HELD = 20
"""Slices beyond a due fault that the feed holds back until it has struck, so that each fault meets work."""
_AGAIN_S = 0.5


@dataclass
class Driver:
    """Gives a system its input."""

    market: Market
    client: FinAgentOrchestrator
    progress: Progress
    plan: Sequence[Fault]
    notes: list[str] = field(default_factory=list)
    _asked: set[str] = field(default_factory=set)
    _fed: int = 0

    async def begin(self) -> None:
        """Start the strategies, once the whole system answers."""
        first = regular_round(self.market.seed, 0)
        await self._send(first)
        try:
            async with asyncio.timeout(READY_S):
                await self.progress.until(lambda: self._asked <= self.progress.ended)
        except TimeoutError:
            raise ServiceError(f"the processes did not answer within {READY_S:g} s, see their logs") from None
        await start_runs(self.client, self.market)

    async def drive(self, striker: Striker) -> None:
        """Feed, command and strike; return once every task has done everything."""
        seed, slices = self.market.seed, len(self.market.slices)
        self.progress.begin()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed(striker))
            for due in regular_rounds(slices):
                group.create_task(self._round(due))
            for fault in self.plan:
                group.create_task(striker.strike(fault))
        await self.progress.until(lambda: self.progress.done == slices)
        # The last round shows that no task of the control plane stands still either.
        await self._send(regular_round(seed, slices))
        await self.progress.until(lambda: self._asked <= self.progress.ended)

    async def answer(self, fault: Fault) -> None:
        """Send the round of commands that goes with a fault."""
        await self._send(fault_round(self.market.seed, fault.number))

    async def stalled(self, striker: Striker, watch: Callable[[str], None]) -> list[str]:
        """Return where each task stands once nothing has moved for long."""
        progress = self.progress
        while time.monotonic() < progress.moved + STALL_S:
            striker.brokers.check(striker.away)
            struck, recovered = len(striker.struck), len(striker.outcomes)
            watch(f"slice {progress.done} of {len(self.market.slices)}, {struck} faults, {recovered} recovered")
            await asyncio.sleep(_AGAIN_S)
        return progress.late(self._asked) or [f"nothing moved for {STALL_S:g} s"]

    async def _round(self, due: int) -> None:
        await self.progress.until(lambda: self.progress.done >= due)
        await self._send(regular_round(self.market.seed, due))

    async def _send(self, commands: Iterable[Command]) -> None:
        await asyncio.gather(*map(self._submit, commands))

    async def _submit(self, command: Command) -> None:
        self._asked.add(command.workflow_id)
        while True:
            try:
                await self.client.client.submit(command)
                return
            except BrokerError as error:
                log.info("%s is submitted again: %s", command.workflow_id, error)
                await asyncio.sleep(_AGAIN_S)

    async def _feed(self, striker: Striker) -> None:
        client = self.client
        while self._fed < len(self.market.slices):
            try:
                async with Feed.open(client.broker, client.partitions, client.clock, client.serde) as feed:
                    await self._feed_by(feed, striker)
            except (BrokerError, Fenced) as error:
                self.notes.append(f"the feed was opened again after slice {self._fed}: {error}")
                await asyncio.sleep(_AGAIN_S)

    async def _feed_by(self, feed: Feed, striker: Striker) -> None:
        while self._fed < len(self.market.slices):
            await self.progress.until(lambda: self._allowed(striker) > self._fed)
            end = min(self._fed + CHUNK, self._allowed(striker))
            await feed.publish(self.market.slices[self._fed : end])
            self._fed = end

    def _allowed(self, striker: Striker) -> int:
        """Return how many slices may stand on the log."""
        waiting = [fault.due + HELD for fault in self.plan if fault.number not in striker.struck]
        return min([self.progress.done + AHEAD, len(self.market.slices), *waiting])
