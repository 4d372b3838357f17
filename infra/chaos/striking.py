"""Strike the planned faults, and see how long each takes to recover from."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from infra.chaos.brokers import Brokers
from infra.chaos.memory import Memory
from infra.chaos.plan import BROKER_KINDS, ORCHESTRATOR, Fault
from infra.chaos.progress import CONTROL_PLANE, DATA_PLANE, Progress
from infra.chaos.report import Outcome
from infra.chaos.supervisor import Supervisor

log = logging.getLogger("finagent.chaos")
SYNC_S = 180.0
"""How long a broker that is back may take until it is in sync."""


@dataclass
class Striker:
    """Strikes each fault when it is due."""

    progress: Progress
    supervisor: Supervisor
    brokers: Brokers
    memory: Memory
    submit: Callable[[Fault], Awaitable[None]]
    """Sends the round of commands that goes with a fault."""
    outcomes: list[Outcome] = field(default_factory=list)
    struck: set[int] = field(default_factory=set)
    """Numbers of the faults that have struck."""
    away: int | None = None
    """The broker that is away on purpose."""
    _one_broker: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def strike(self, fault: Fault) -> None:
        """Wait until a fault is due, strike, and return once all that it concerns has recovered."""
        await self.progress.until(lambda: self.progress.done >= fault.due)
        await asyncio.sleep(fault.delay_s)
        if fault.kind in BROKER_KINDS:
            await self._strike_broker(fault)
        elif fault.kind == "kill_redis":
            await self._strike_redis(fault)
        else:
            await self._strike_process(fault)

    async def _strike_process(self, fault: Fault) -> None:
        stood = self._stood(fault)
        if fault.kind == "pause":
            pid = await self.supervisor.pause(fault.target)
        else:
            pid = await self.supervisor.kill(fault.target)
        at = await self._told(fault, what := f"{fault.target}, pid {pid}")
        recovering = asyncio.create_task(self._recovered(fault, what, at, stood))
        await self.submit(fault)
        if fault.kind == "pause":
            await asyncio.sleep(max(at[0] + fault.away_s - time.monotonic(), 0))
            self.supervisor.wake(fault.target)
        await recovering

    async def _strike_broker(self, fault: Fault) -> None:
        async with self._one_broker:
            topic, _, partition = fault.target.rpartition(":")
            node = await self.brokers.leader(topic, int(partition))
            stood = self._stood(fault)
            await self._take_away(fault, node)
            at = await self._told(fault, what := f"broker {node}, leader of {topic}[{partition}]")
            recovering = asyncio.create_task(self._recovered(fault, what, at, stood))
            sending = asyncio.ensure_future(self.submit(fault))
            await asyncio.sleep(fault.away_s)
            await self._bring_back(fault, node)
        await asyncio.gather(recovering, sending)

    async def _take_away(self, fault: Fault, node: int) -> None:
        self.away = node
        if fault.kind == "kill_broker":
            await self.brokers.kill(node)
        else:
            self.brokers.cut_off(node)

    async def _bring_back(self, fault: Fault, node: int) -> None:
        if fault.kind == "kill_broker":
            await self.brokers.start(node)
        else:
            self.brokers.heal(node)
        self.away = None
        await self.brokers.in_sync(SYNC_S)

    async def _strike_redis(self, fault: Fault) -> None:
        pid = await self.memory.kill()
        at = await self._told(fault, what := f"Redis, pid {pid}")
        await self.submit(fault)
        await asyncio.sleep(max(at[0] + fault.away_s - time.monotonic(), 0))
        await self.memory.start()
        back = time.monotonic()
        await self.memory.written()
        self._note(fault, what, at, time.monotonic() - back)

    def _stood(self, fault: Fault) -> dict[str, int]:
        """Return where the tasks stand that a fault concerns."""
        pool = fault.target.rpartition("-")[0]
        if fault.kind in BROKER_KINDS:
            concerned = [*DATA_PLANE, *CONTROL_PLANE]
        elif pool == ORCHESTRATOR:
            concerned = [task for task in CONTROL_PLANE if task.startswith(f"{ORCHESTRATOR}.")]
        else:
            concerned = [t for t in (*DATA_PLANE, *CONTROL_PLANE) if t.rpartition(".")[0] in (pool, f"{pool}.steps")]
        return {task: self.progress.marks[task] for task in concerned}

    async def _told(self, fault: Fault, what: str) -> tuple[float, int]:
        self.struck.add(fault.number)
        log.info("fault %d at slice %d: %s of %s", fault.number, self.progress.done, fault.kind, what)
        at = time.monotonic(), self.progress.done
        await self.progress.tell()
        return at

    async def _recovered(self, fault: Fault, what: str, at: tuple[float, int], stood: dict[str, int]) -> None:
        await self.progress.until(lambda: self.progress.beyond(stood))
        self._note(fault, what, at, time.monotonic() - at[0])

    def _note(self, fault: Fault, what: str, at: tuple[float, int], recovery_s: float) -> None:
        log.info("fault %d: recovered in %.1f s", fault.number, recovery_s)
        self.outcomes.append(
            Outcome(
                fault=fault,
                struck=what,
                at_s=round(at[0] - self.progress.began, 3),
                at_slice=at[1],
                recovery_s=round(recovery_s, 3),
                stood_still_s=self.progress.longest_pause(at[0], time.monotonic()),
            )
        )
