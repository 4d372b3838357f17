"""The shell around `advance` on Faust: what is durable before what, and what a crash in between leads to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from orchestrator.advance import Context
from orchestrator.faust_control import Control
from orchestrator.faust_kept import Kept
from orchestrator.faust_records import decoded
from orchestrator.retention import Retention
from schemas import ExecuteWorkflow, Message, RunStep, StepSpec, Workflow
from streams.clock import ManualClock
from streams.errors import DecodeError
from streams.record import Envelope, Event, Received, Record
from streams.serde import Serde
from streams.topics import topic_of
from tests.unit.orchestrator.workflow_driver import POOLS, SECOND, T0, command, done, step

SERDE = Serde()


class Crash(Exception):
    """Stands for the end of the process."""


class World:
    """A durable table and log that outlive the process, and a place where it crashes."""

    def __init__(self) -> None:
        self.table: dict[str, bytes] = {}
        self.last_forgotten = -1
        self.tombstones: list[str] = []
        self.log: list[tuple[str, Message]] = []
        self.crash_before = ""
        self.clock = ManualClock(T0)

    def process(self) -> Control:
        """Start a process on what is durable."""
        control = Control(self, self.send, self.context, self.clock, SERDE, Retention(seconds=60, most=2))
        control.restore([Kept.decode(value, SERDE) for value in self.table.values()])
        return control

    def context(self, message_id: str, now: int) -> Context:
        return Context(message_id=message_id, now=now, pools=POOLS)

    def kept(self, workflow_id: str) -> Kept | None:
        value = self.table.get(workflow_id)
        return None if value is None else Kept.decode(value, SERDE)

    async def keep(self, states: Mapping[str, Kept]) -> None:
        self._reach("keep")
        self.table |= {name: kept.encode(SERDE) for name, kept in states.items()}

    def forgotten(self, partition: int) -> int:
        return self.last_forgotten

    async def forget(self, workflow_ids: Sequence[str]) -> None:
        self._reach("forget")
        offsets = [kept.offset for name in workflow_ids if (kept := self.kept(name))]
        self.last_forgotten = max([self.last_forgotten, *offsets])
        for name in workflow_ids:
            self.table.pop(name, None)

    async def send(self, records: Sequence[Record]) -> None:
        self._reach("send")
        for record in records:
            if record.value is None:
                self.tombstones.append(f"{record.topic} {record.key}")
                continue
            self.log.append((Envelope.from_headers(record.headers).message_id, SERDE.decode(record.value)))

    def _reach(self, what: str) -> None:
        if self.crash_before == what:
            raise Crash(what)

    def steps(self) -> list[tuple[str, RunStep]]:
        """Return the attempts that were asked for, with their ids."""
        return [(name, message) for name, message in self.log if isinstance(message, RunStep)]


def event_of(message: Message, message_id: str, offset: int = 0) -> Event:
    envelope = Envelope(message_id, type(message).__name__, "test", T0, "w", "test")
    value = SERDE.encode(message)
    topic, key = topic_of(type(message)).name, str(getattr(message, "workflow_id", ""))
    return Event(message, envelope, Received(topic, 3, offset, key, value, envelope.headers(), 0))


START = event_of(command(step("a", timeout_s=5, max_attempts=2), step("b", "a")), "start")
ANSWER = event_of(done("a"), "answer")


@pytest.mark.parametrize("place", ["keep", "send"])
async def test_an_event_that_comes_again_after_a_crash_says_the_same(place: str) -> None:
    undisturbed, world = World(), World()
    await undisturbed.process().handle([START, ANSWER])
    world.crash_before = place
    with pytest.raises(Crash):
        await world.process().handle([START, ANSWER])
    assert world.log == []
    world.crash_before = ""
    await world.process().handle([START, ANSWER])
    assert dict(world.steps())[undisturbed.steps()[-1][0]].step_id == "b"
    assert world.kept("w") == undisturbed.kept("w")


async def test_a_state_is_durable_before_its_messages() -> None:
    world = World()
    world.crash_before = "send"
    with pytest.raises(Crash):
        await world.process().handle([START])
    assert (kept := world.kept("w")) is not None
    assert kept.partition == 3


async def test_an_ignored_event_writes_no_state() -> None:
    world = World()
    control = world.process()
    await control.handle([START])
    world.crash_before = "keep"
    await control.handle([START])
    assert [name for name, _ in world.steps()] == [world.steps()[0][0]] * 2


async def test_a_timer_whose_messages_were_lost_fires_again() -> None:
    world = World()
    control = world.process()
    await control.handle([START])
    world.clock.advance_to(T0 + 5 * SECOND)
    await control.fire()
    world.clock.advance_to(T0 + 6 * SECOND)
    world.crash_before = "send"
    with pytest.raises(Crash):
        await control.fire()
    assert [asked.attempt for _, asked in world.steps()] == [1]
    world.crash_before = ""
    again = world.process()
    await again.fire()
    await again.fire()
    assert [asked.attempt for _, asked in world.steps()] == [1, 2]
    assert (kept := world.kept("w")) is not None
    assert kept.timer == 0


async def test_an_answer_does_not_hide_a_timer_whose_messages_were_lost() -> None:
    world = World()
    control = world.process()
    await control.handle([START])
    world.clock.advance_to(T0 + 5 * SECOND)
    await control.fire()
    world.clock.advance_to(T0 + 6 * SECOND)
    world.crash_before = "send"
    with pytest.raises(Crash):
        await control.fire()
    world.crash_before = ""
    again = world.process()
    await again.handle([ANSWER])
    states = len([message for _, message in world.log if isinstance(message, Workflow)])
    await again.fire()
    assert len([message for _, message in world.log if isinstance(message, Workflow)]) == states + 1


def test_a_record_under_another_key_is_refused() -> None:
    record = Received("commands", 0, 0, "other", START.record.value, START.record.headers, 0)
    with pytest.raises(DecodeError, match="the key is 'other'"):
        decoded(record, SERDE)


def commanded(name: str, offset: int) -> Event:
    """Return the command of a workflow that fails at once: it names no known pool."""
    steps = (StepSpec(step_id="a", agent_pool="nobody", action="do"),)
    return event_of(ExecuteWorkflow(workflow_id=name, ts_event=T0, steps=steps), f"start {name}", offset)


async def test_ended_workflows_are_forgotten_beyond_their_number_and_time() -> None:
    world = World()
    control = world.process()
    await control.handle([START, *(commanded(f"e{n}", n) for n in range(1, 5))])
    await control.forget()
    assert set(world.table) == {"w", "e3", "e4"}
    assert world.tombstones == ["workflows e1", "workflows e2"]
    assert world.last_forgotten == 2
    world.clock.advance_to(T0 + 61 * SECOND)
    await control.forget()
    assert set(world.table) == {"w"}


async def test_a_command_that_comes_again_after_its_workflow_is_forgotten_starts_nothing() -> None:
    world = World()
    control = world.process()
    await control.handle([commanded(f"e{n}", n) for n in range(4)])
    await control.forget()
    said = len(world.log)
    for process in (control, world.process()):
        await process.handle([commanded("e0", 0), commanded("e1", 1)])
        assert len(world.log) == said
    await control.handle([commanded("e1", 9)])
    assert len(world.log) == said + 1  # given anew, it is a new execution


async def test_a_crash_while_forgetting_is_made_good() -> None:
    world = World()
    control = world.process()
    await control.handle([commanded(f"e{n}", n) for n in range(4)])
    world.crash_before = "forget"
    with pytest.raises(Crash):
        await control.forget()
    assert len(world.table) == 4
    world.crash_before = ""
    await world.process().forget()
    assert set(world.table) == {"e2", "e3"}
    assert world.tombstones == ["workflows e0", "workflows e1"] * 2


async def test_a_workflow_given_twice_is_remembered_by_its_last_command() -> None:
    world = World()
    control = world.process()
    await control.handle([commanded("e0", 0), commanded("e0", 5), commanded("e1", 6), commanded("e2", 7)])
    await control.forget()
    assert world.last_forgotten == 5
