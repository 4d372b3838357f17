"""Three orchestrators on a real Kafka, one paused in a batch, one killed: nothing is lost, repeated or undone."""

from __future__ import annotations

import asyncio
import time
from asyncio.subprocess import Process
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from signal import SIGCONT

import pytest

from orchestrator.faust_kept import TABLE, Kept
from orchestrator.settings import Settings
from orchestrator.strategy import TradingStrategy
from orchestrator.wiring import context_of, control_kind, kinds_of, partitions_of, pool_of
from schemas import (
    ExecuteWorkflow,
    KillSwitchSet,
    Message,
    RunStep,
    SetKillSwitch,
    StartStrategy,
    StepCompleted,
    StepState,
    StopStrategy,
    StrategyStarted,
    StrategyStopped,
    Workflow,
)
from streams.broker import Broker
from streams.clock import WallClock
from streams.host import Host, create_topology
from streams.ids import derive_id
from streams.memory_broker import MemoryBroker
from streams.reading import read_whole
from streams.record import TopicPartition
from streams.serde import Serde
from streams.tail import tail
from streams.topics import changelog
from tests.integration.orchestrator_world import (
    POOL,
    WATCHED,
    World,
    command,
    members,
    record_of,
    settings_of,
    step,
    world_of,
)

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
PARTITIONS = 6
IN_FLIGHT = 24
WORDS = 30
RUNS = 4
RANK = {"waiting": 0, "running": 1, "backoff": 1, "completed": 2, "failed": 2, "cancelled": 2}


def diamond(number: int) -> ExecuteWorkflow:
    """Return a workflow of four steps."""
    specs = (step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c"))
    slow = [each.model_copy(update={"timeout_s": 600.0}) for each in specs]
    return command(f"w{number}", *slow)


def word(number: int) -> SetKillSwitch:
    """Return an operator's word on one account; odd ones release it."""
    given = {"active": number % 2 == 0, "reason": f"word {number}", "ts_event": time.time_ns()}
    return SetKillSwitch(workflow_id="switch-A", account_id="A", **given)


def run_of(number: int) -> StartStrategy:
    spec = TradingStrategy(f"s{number}", "Momentum", symbols=["AAPL", "MSFT"]).to_spec()
    given = {"strategy": spec, "initial_cash": 1000.0, "check_history": False, "ts_event": time.time_ns()}
    return StartStrategy(workflow_id=f"run{number}", **given)


class Load:
    """Commands given while it lasts, and their steps answered by hand."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.given = 0
        self.words = 0
        self._answered: set[tuple[str, str]] = set()
        self._stopped: set[str] = set()

    async def carry(self, more: Callable[[], bool]) -> None:
        """Give new commands as long as there is to be more, and go on until everything has ended."""
        await self._say([run_of(number) for number in range(RUNS)])
        while more() or not self._is_done():
            fresh = []
            while more() and self.given - len(self.ended()) < IN_FLIGHT:
                fresh.append(diamond(self.given))
                self.given += 1
            if self.words < WORDS and self.given > 3 * self.words:
                fresh.append(word(self.words))
                self.words += 1
            await self._say([*fresh, *self._replies()])
            await self.world.watch.poll(0.1)

    def _replies(self) -> Iterable[Message]:
        """Yield answers to new steps, and the stops of new runs."""
        for message in (event.message for event in self.world.watch.events):
            if isinstance(message, RunStep) and message.agent_pool == POOL:
                asked = (message.workflow_id, message.step_id)
                if asked not in self._answered:
                    self._answered.add(asked)
                    yield answer(message)
            elif isinstance(message, StrategyStarted) and message.run_id not in self._stopped:
                self._stopped.add(message.run_id)
                yield StopStrategy(workflow_id=message.run_id, run_id=message.run_id, ts_event=message.ts_event)

    async def _say(self, messages: Iterable[Message]) -> None:
        serde = self.world.serde
        await self.world.broker.publish([record_of(m, derive_id(repr(m), "test"), serde) for m in messages])

    def ended(self) -> dict[str, Workflow]:
        found = {}
        for message in (event.message for event in self.world.watch.events):
            if isinstance(message, Workflow) and message.status != "running":
                found[message.workflow_id] = message
        return {name: each for name, each in found.items() if name.startswith("w")}

    def _is_done(self) -> bool:
        stops = sum(isinstance(event.message, StrategyStopped) for event in self.world.watch.events)
        words = {event.message.reason for event in self.world.watch.events if isinstance(event.message, KillSwitchSet)}
        return len(self.ended()) == self.given and stops >= RUNS and len(words) == self.words == WORDS


def answer(asked: RunStep) -> StepCompleted:
    """Return what a pool that thinks of nothing but its inputs would say."""
    seen = {name: inputs.get("sum", 0) for name, inputs in sorted(asked.inputs.items())}
    result = {"sum": 1 + sum(seen.values()), "seen": seen}
    named = {"workflow_id": asked.workflow_id, "step_id": asked.step_id, "attempt": asked.attempt}
    return StepCompleted(**named, result=result, ts_event=asked.ts_event)


async def is_paused(process: Process) -> None:
    """Wait until a process has stopped itself."""
    async with asyncio.timeout(60):
        while not _is_paused(process.pid):  # noqa: ASYNC110 - a paused process tells nobody
            await asyncio.sleep(0.05)


def _is_paused(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@asynccontextmanager
async def data_pool(broker: Broker, settings: Settings, serde: Serde, *, control: bool = False) -> AsyncIterator[None]:
    """Answer the steps of the data pool; control: and run the orchestrator under the task loop."""
    kinds = [kind for kind in kinds_of(pool_of("data", settings)) if kind.name.endswith(".steps")]
    kinds += [control_kind(context_of(settings))] if control else []
    host = Host(broker, kinds, partitions_of(settings), WallClock(), serde)
    running = asyncio.create_task(host.run())
    try:
        yield
    finally:
        host.stop.set()
        await running


async def undisturbed(settings: Settings, workflows: int) -> dict[str, object]:
    """Return the results of the same load in one process, with as many workflows."""
    broker, serde = MemoryBroker(), Serde()
    kinds = [*kinds_of(pool_of("data", settings)), control_kind(context_of(settings))]
    await create_topology(broker, partitions_of(settings), kinds)
    async with data_pool(broker, settings, serde, control=True), tail(broker, serde, WATCHED) as watch:
        load = Load(World(settings, broker, watch, serde))
        await load.carry(lambda: load.given < workflows)
        return results_of(load)


def results_of(load: Load) -> dict[str, object]:
    return {
        name: (workflow.status, {each.spec.step_id: (each.status, each.result) for each in workflow.steps})
        for name, workflow in load.ended().items()
    }


async def test_a_paused_and_a_killed_orchestrator_lose_repeat_and_undo_nothing(
    kafka_bootstrap: str, prefix: str
) -> None:
    settings = settings_of(kafka_bootstrap, prefix, PARTITIONS)
    async with world_of(settings) as world, data_pool(world.broker, settings, world.serde):
        paused, killed, _ = [await world.start(*fault) for fault in (("pause_before", 30), (), ())]
        await members(settings, 3)
        faults = asyncio.create_task(disturb(world, paused, killed))
        load = Load(world)
        async with asyncio.timeout(200):
            await load.carry(lambda: not faults.done() or load.given < 60)
        await faults
        attempts = [event for event in world.watch.events if isinstance(event.message, RunStep)]
        assert len({event.envelope.message_id for event in attempts}) == len(attempts)  # nothing was sent twice
        assert all(len(ids) == 1 for ids in world.ids.values())
        assert {attempt for _, _, attempt in world.ids} == {1}
        assert commands_in_order(world) == [f"word {number}" for number in range(WORDS)]
        for number in range(RUNS):
            assert of_run(world, f"run{number}") == ["StrategyStarted", "StrategyStopped"]
        await never_back(world)
        assert results_of(load) == await undisturbed(settings, load.given)
        paused.kill()
        told = (await paused.communicate())[0].decode().splitlines()
        assert "fenced" in told


async def disturb(world: World, paused: Process, killed: Process) -> None:
    """Let one be paused until the others have its partitions, then wake it; kill another."""
    await is_paused(paused)
    await members(world.settings, 2)
    handled = len(world.watch.events)
    async with asyncio.timeout(60):
        while len(world.watch.events) < handled + 50:  # noqa: ASYNC110 - another task reads
            await asyncio.sleep(0.05)
    paused.send_signal(SIGCONT)
    await members(world.settings, 3)
    killed.kill()
    await members(world.settings, 2)


def commands_in_order(world: World) -> list[str]:
    return [event.message.reason for event in world.watch.events if isinstance(event.message, KillSwitchSet)]


def of_run(world: World, run_id: str) -> list[str]:
    found = (event.message for event in world.watch.events)
    run = [each for each in found if isinstance(each, StrategyStarted | StrategyStopped) and each.run_id == run_id]
    return [type(each).__name__ for each in run]


async def never_back(world: World) -> None:
    """Assert that no workflow's state goes back on its topic or on the table's changelog."""
    for topic in ("workflows", changelog(TABLE)):
        states = defaultdict(list)
        places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        async for record in read_whole(world.broker, places):
            if record.value is not None and record.odd_key is None:
                found = world.serde.decode(record.value)
                workflow = found if isinstance(found, Workflow) else Kept.decode(record.value, world.serde).workflow
                states[record.key].append(workflow)
        assert len(states) > IN_FLIGHT
        for name, sequence in states.items():
            for before, after in pairwise(sequence):
                assert before.ts_event <= after.ts_event, (topic, name)
                assert all(map(is_no_step_back, before.steps, after.steps)), (topic, name, before, after)


def is_no_step_back(before: StepState, after: StepState) -> bool:
    return RANK[before.status] <= RANK[after.status] and (not before.result or before.result == after.result)
