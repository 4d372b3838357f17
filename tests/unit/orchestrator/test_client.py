"""The client of the control plane: whom it wakes, what it counts, what it forgets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from orchestrator.client import Client
from orchestrator.retention import Retention
from orchestrator.settings import Settings
from orchestrator.wiring import all_kinds, context_of
from schemas import CancelWorkflow, ExecuteWorkflow, StepSpec, Workflow
from schemas.workflow import WorkflowStatus
from streams.broker import Offsets, Reader
from streams.clock import ManualClock
from streams.errors import BrokerError, WorkflowError
from streams.host import create_topology
from streams.memory_broker import MemoryBroker
from streams.record import Received, Record
from tests.dataplane import ONE, SERDE, START, record

SECOND = 1_000_000_000


def state(name: str, status: WorkflowStatus, ts: int = START, kind: str = "ExecuteWorkflow") -> Workflow:
    return Workflow(
        workflow_id=name, kind=kind, status=status, steps=(), command_id="c", started=START, ts_event=ts, error=""
    )


class World:
    """A client, and what is said to it."""

    def __init__(self, broker: MemoryBroker, clock: ManualClock, client: Client) -> None:
        self.broker, self.clock, self.client = broker, clock, client
        self.told = 0

    async def tell(self, *states: Workflow) -> None:
        """Publish states and wait until the client has read them."""
        await self.publish(*(record(each, message_id=f"m{number}") for number, each in enumerate(states)))

    async def publish(self, *records: Record) -> None:
        marker = state(f"marker-{self.told}", "running")
        self.told += 1
        await self.broker.publish([*records, record(marker)])
        await self.client.until(lambda: marker.workflow_id in self.client.workflows, "the marker")

    @property
    def in_flight(self) -> int:
        return self.client.in_flight - self.told


class Unsteady(MemoryBroker):
    """A broker that at times does not answer readers."""

    failures = 0
    """Polls that fail from now on."""

    @asynccontextmanager
    async def reader(self, start: Offsets) -> AsyncIterator[Reader]:
        async with super().reader(start) as reader:
            poll = reader.poll

            async def unsteady(timeout_s: float, max_records: int = 5000) -> Sequence[Received]:
                if self.failures:
                    self.failures -= 1
                    raise BrokerError("no answer")
                return await poll(timeout_s, max_records)

            reader.poll = unsteady  # type: ignore[method-assign]
            yield reader


@asynccontextmanager
async def world(retention: Retention | None = None, broker: MemoryBroker | None = None) -> AsyncIterator[World]:
    broker, clock = broker or MemoryBroker(), ManualClock(START)
    await create_topology(broker, ONE, all_kinds((), context_of(Settings())))
    async with Client.open(broker, SERDE, clock, retention or Retention()) as client:
        yield World(broker, clock, client)


def command(name: str) -> ExecuteWorkflow:
    step = StepSpec(step_id="a", agent_pool="p", action="do")
    return ExecuteWorkflow(workflow_id=name, ts_event=START, steps=(step,))


async def test_each_waiter_gets_its_own_workflow_and_nobody_else_is_woken() -> None:
    async with world() as w:
        waiting = {name: asyncio.create_task(w.client.wait(name, 30)) for name in ("a", "b")}
        again = asyncio.create_task(w.client.wait("a", 30))
        await w.tell(state("a", "running"), state("b", "running"))
        await w.tell(state("a", "completed"))
        assert (await waiting["a"]).status == (await again).status == "completed"
        assert not waiting["b"].done()
        await w.tell(state("b", "failed"))
        assert (await waiting["b"]).status == "failed"
        assert (await w.client.wait("a", 0)).workflow_id == "a"
        with pytest.raises(WorkflowError, match="'c' did not end within 0 s: no orchestrator has taken it up"):
            await w.client.wait("c", 0)


async def test_what_is_in_flight_is_counted_from_submission_to_end() -> None:
    async with world() as w:
        await w.client.submit(command("a"))
        await w.client.submit(command("a"))
        await w.client.submit(CancelWorkflow(workflow_id="unknown", ts_event=START))
        assert w.in_flight == 1
        await w.tell(state("a", "running"), state("b", "running"))
        assert w.in_flight == 2
        await w.tell(state("a", "completed"))
        assert w.in_flight == 1
        await w.tell(state("b", "cancelled"), state("b", "running", ts=START - 1))
        assert w.in_flight == 0


async def test_ended_workflows_are_forgotten_by_number_by_time_and_by_tombstone() -> None:
    async with world(Retention(seconds=60, most=2)) as w:
        await w.tell(*(state(f"e{n}", "completed", ts=START + n) for n in range(4)), state("r", "running"))
        assert {name for name in w.client.workflows if not name.startswith("marker")} == {"e2", "e3", "r"}
        await w.publish(Record("workflows", "e2", None))
        assert "e2" not in w.client.workflows
        w.clock.advance_to(START + 61 * SECOND)
        await w.tell()
        assert {name for name in w.client.workflows if not name.startswith("marker")} == {"r"}


async def test_a_workflow_whose_run_is_active_is_not_forgotten() -> None:
    async with world(Retention(seconds=60, most=1)) as w:
        await w.tell(
            *(state(name, "completed", kind="StartStrategy") for name in ("x", "y")),
            state("z", "failed", kind="StartStrategy"),
            state("e", "completed", ts=START + 1),
        )
        assert {name for name in w.client.workflows if not name.startswith("marker")} == {"x", "y", "e"}


async def test_a_submission_that_was_not_published_is_not_in_flight() -> None:
    async with world() as w:

        async def refuse(records: object) -> list[int]:
            raise OSError("away")

        w.broker.publish = refuse  # type: ignore[method-assign,assignment]
        with pytest.raises(OSError, match="away"):
            await w.client.submit(command("a"))
        assert w.in_flight == 0


async def test_a_broker_that_was_away_is_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.client.AGAIN_S", 0.01)
    broker = Unsteady()
    async with world(broker=broker) as there:
        await there.tell(state("before", "completed"))
        broker.failures = 3
        while broker.failures:
            await there.tell(state("after", "completed"))
        assert {"before", "after"} <= there.client.workflows.keys()
