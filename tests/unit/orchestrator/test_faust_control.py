"""The shell around `advance` on Faust: what is committed together, and what a crash or a new owner leads to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from orchestrator.advance import Context
from orchestrator.faust_control import Control
from orchestrator.faust_kept import POOL, TABLE, Forgotten
from orchestrator.faust_records import decoded
from orchestrator.faust_table import WorkflowTable
from orchestrator.faust_tasks import Tasks
from orchestrator.retention import Retention
from schemas import ExecuteWorkflow, Message, RunStep, SetKillSwitch, StepCompleted, StepSpec, Workflow
from streams.broker import MAX_RECORD_BYTES, TopicConfig, partition_of
from streams.clock import ManualClock
from streams.errors import DecodeError, Fenced
from streams.memory_broker import MemoryBroker
from streams.reading import MARK
from streams.record import Envelope, Received, Record, TopicPartition
from streams.serde import Serde
from streams.topics import changelog, dead_letters, topic_of
from tests.unit.orchestrator.workflow_driver import POOLS, SECOND, T0, broke, command, done, step

SERDE = Serde()
PARTITIONS = 4
NAMES = ("commands", "results", "steps", "workflows", "strategies", "commands.dlq", "results.dlq")


class Crash(Exception):
    """Stands for the end of the process."""


class World:
    """A log that outlives processes, and a place where one crashes."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.crash = ""
        self.commits = 0
        self.clock = ManualClock(T0)

    async def process(self, partitions: Sequence[int] = range(PARTITIONS)) -> Process:
        """Start a process that takes partitions over."""
        await self.broker.create_topics({name: TopicConfig(PARTITIONS) for name in (*NAMES, changelog(TABLE))})
        process = Process(self)
        await process.take(partitions)
        return process

    def context(self, message_id: str, now: int) -> Context:
        return Context(message_id=message_id, now=now, pools=POOLS)

    def records(self, topic: str) -> list[Received]:
        return [record for p in range(PARTITIONS) for record in self.broker.partition_log(TopicPartition(topic, p))]

    def said(self, topic: str) -> list[tuple[str, Any]]:
        """Return the messages on a topic with their ids, tombstones left out."""
        return [
            (Envelope.from_headers(record.headers).message_id, SERDE.decode(record.value))
            for record in self.records(topic)
            if record.value is not None
        ]

    def steps(self) -> list[tuple[str, RunStep]]:
        """Return the attempts that were asked for, with their ids."""
        return self.said("steps")

    def tombstones(self) -> list[str]:
        return [record.key for record in self.records("workflows") if record.value is None]


class Process:
    """The orchestrator of one process, without Faust."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.table, self.tasks = WorkflowTable(SERDE), Tasks(world.broker)
        self.control = Control(
            self.table,
            self.commit,
            world.context,
            world.clock,
            SERDE,
            PARTITIONS,
            Retention(seconds=60, most=2),
        )
        self.held = asyncio.Event()
        self.held.set()
        self.reached = asyncio.Event()

    async def take(self, partitions: Sequence[int]) -> None:
        await self.table.restore(self.world.broker, await self.tasks.take(partitions))
        self.control.restore(self.table.states())

    async def commit(self, partition: int, records: Sequence[Record], offsets: Mapping[TopicPartition, int]) -> None:
        self.reached.set()
        await self.held.wait()
        if self.world.crash == "before":
            raise Crash
        await self.tasks.commit(partition, records, offsets)
        self.world.commits += 1
        if self.world.crash == "after":
            raise Crash

    def status(self, workflow_id: str = "w") -> str | None:
        kept = self.table.kept(workflow_id)
        return kept.workflow.status if kept else None


def record_of(message: Message, message_id: str, offset: int = 0) -> Received:
    headers = Envelope(message_id, type(message).__name__, "test", T0, "w", "test").headers()
    topic, key = topic_of(type(message)).name, str(getattr(message, "workflow_id", ""))
    return Received(topic, partition_of(key, PARTITIONS), offset, key, SERDE.encode(message), headers, 0)


OWN = partition_of("w", PARTITIONS)
START = record_of(command(step("a", timeout_s=5, max_attempts=2), step("b", "a")), "start", 7)
ANSWER = record_of(done("a"), "answer", 3)


async def test_states_messages_and_offsets_are_committed_at_once() -> None:
    world = World()
    process = await world.process()
    await process.control.handle([START, ANSWER])
    assert world.commits == 1
    assert [asked.step_id for _, asked in world.steps()] == ["a", "b"]
    inputs = [TopicPartition("commands", OWN), TopicPartition("results", OWN)]
    assert await world.broker.committed(POOL, inputs) == {inputs[0]: 8, inputs[1]: 4}


async def test_each_partition_has_its_own_transaction() -> None:
    world = World()
    process = await world.process()
    others = [commanded(name, n) for n, name in enumerate(map("o{}".format, range(8)))]
    await process.control.handle([START, *others])
    assert world.commits == len({record.partition for record in [START, *others]}) > 1


@pytest.mark.parametrize("place", ["before", "after"])
async def test_a_crash_leaves_all_of_a_batch_or_nothing(place: str) -> None:
    undisturbed, world = World(), World()
    await (await undisturbed.process()).control.handle([START, ANSWER])
    world.crash = place
    with pytest.raises(Crash):
        await (await world.process()).control.handle([START, ANSWER])
    assert world.steps() == (undisturbed.steps() if place == "after" else [])
    world.crash = ""
    process = await world.process()
    at = (await world.broker.committed(POOL, [TopicPartition("commands", OWN)])).values()
    await process.control.handle([] if at else [START, ANSWER])
    assert world.steps() == undisturbed.steps()
    assert world.said("workflows") == undisturbed.said("workflows")


async def test_nothing_is_remembered_that_was_not_committed() -> None:
    world = World()
    process = await world.process()
    world.crash = "before"
    with pytest.raises(Crash):
        await process.control.handle([START])
    assert process.status() is None


async def test_an_event_that_comes_again_says_the_same() -> None:
    world = World()
    process = await world.process()
    await process.control.handle([START])
    await process.control.handle([START])
    assert world.steps()[0] == world.steps()[1]
    assert len([each for each in world.records(changelog(TABLE)) if each.odd_key is None]) == 1  # and writes no state


async def test_an_owner_that_was_paused_in_a_batch_writes_nothing_after_the_takeover() -> None:
    world = World()
    paused = await world.process()
    await paused.control.handle([START])
    paused.held.clear()
    paused.reached.clear()
    stale = asyncio.create_task(paused.control.handle([ANSWER]))
    await paused.reached.wait()
    owner = await world.process()
    await owner.control.handle([record_of(broke("a", retryable=False), "answer", 3)])
    before = {name: len(world.records(name)) for name in (*NAMES, changelog(TABLE))}
    paused.held.set()
    with pytest.raises(Fenced):
        await stale
    assert {name: len(world.records(name)) for name in before} == before
    assert [asked.step_id for _, asked in world.steps()] == ["a"]
    assert paused.status() == "running"
    assert (await world.process()).status() == "failed"


async def test_a_partition_that_went_elsewhere_does_not_take_others_with_it() -> None:
    world = World()
    first = await world.process()
    await world.process([OWN])
    stays = next(record for n in range(9) if (record := commanded(f"o{n}", n)).partition != OWN)
    with pytest.raises(Fenced):
        await first.control.handle([START, stays])
    assert first.status() is None
    assert first.status(stays.key) == "failed"
    assert {record.key for record in world.records("workflows")} == {stays.key}


async def test_partitions_that_were_given_up_are_not_written() -> None:
    world = World()
    process = await world.process()
    await process.tasks.release()
    with pytest.raises(Fenced, match="not owned by this process"):
        await process.control.handle([START])


async def test_a_timer_fires_once_whatever_happens() -> None:
    world = World()
    process = await world.process()
    await process.control.handle([START])
    world.clock.advance_to(T0 + 5 * SECOND)
    await process.control.fire()
    world.clock.advance_to(T0 + 6 * SECOND)
    world.crash = "before"
    with pytest.raises(Crash):
        await process.control.fire()
    assert [asked.attempt for _, asked in world.steps()] == [1]
    world.crash = ""
    again = await world.process()
    await again.control.fire()
    await again.control.fire()
    assert [asked.attempt for _, asked in world.steps()] == [1, 2]


async def test_a_timer_that_an_older_release_left_half_done_fires_again() -> None:
    """It wrote the state with a mark before the messages: here they are lost, and an answer comes first."""
    world = World()
    process = await world.process()
    await process.control.handle([START])
    world.clock.advance_to(T0 + 5 * SECOND)
    await process.control.fire()
    kept = process.table.kept("w")
    assert kept is not None
    marked = kept.model_copy(update={"timer": T0 + 5 * SECOND})
    await world.broker.publish([Record(changelog(TABLE), "w", marked.encode(SERDE), (), OWN)])
    again = await world.process()
    await again.control.handle([ANSWER])
    before = len(world.said("workflows"))
    await again.control.fire()
    await again.control.fire()
    assert len(world.said("workflows")) == before + 1
    assert (await world.process()).table.kept("w").timer == 0  # type: ignore[union-attr]


def test_a_record_under_another_key_is_refused() -> None:
    record = Received("commands", 0, 0, "other", START.value, START.headers, 0)
    with pytest.raises(DecodeError, match="the key is 'other'"):
        decoded(record, SERDE, PARTITIONS)


def test_a_record_on_another_partition_than_its_key_s_is_refused() -> None:
    wrong = (OWN + 1) % PARTITIONS
    record = Received("commands", wrong, 0, "w", START.value, START.headers, 0)
    with pytest.raises(DecodeError, match=rf"belongs to partition {OWN} of commands, not {wrong}"):
        decoded(record, SERDE, PARTITIONS)


def commanded(name: str, offset: int) -> Received:
    """Return the command of a workflow that fails at once: it names no known pool."""
    steps = (StepSpec(step_id="a", agent_pool="nobody", action="do"),)
    return record_of(ExecuteWorkflow(workflow_id=name, ts_event=T0, steps=steps), f"start {name}", offset)


E0, E1, E2, E3, E4 = [name for name in map("e{}".format, range(99)) if partition_of(name, PARTITIONS) == OWN][:5]
"""Workflows of one partition."""


async def present(world: World) -> set[str]:
    return {kept.workflow.workflow_id for kept in (await world.process()).table.states()}


async def test_ended_workflows_are_forgotten_beyond_their_number_and_time() -> None:
    world = World()
    process = await world.process()
    await process.control.handle([START, *(commanded(name, n) for n, name in enumerate((E1, E2, E3, E4), start=1))])
    commits = world.commits
    await process.control.forget()
    assert world.commits == commits + 1
    assert world.tombstones() == [E1, E2]
    assert process.table.forgotten(OWN) == 2
    assert await present(world) == {"w", E3, E4}
    world.clock.advance_to(T0 + 61 * SECOND)
    await (await world.process()).control.forget()
    assert await present(world) == {"w"}


async def test_a_command_that_comes_again_after_its_workflow_is_forgotten_starts_nothing() -> None:
    world = World()
    process = await world.process()
    await process.control.handle([commanded(name, n) for n, name in enumerate((E0, E1, E2, E3))])
    await process.control.forget()
    said = len(world.records("workflows"))
    for each in (process, await world.process()):
        await each.take(range(PARTITIONS))
        await each.control.handle([commanded(E0, 0), commanded(E1, 1)])
        assert len(world.records("workflows")) == said
    await each.control.handle([commanded(E1, 9)])
    assert len(world.records("workflows")) == said + 1  # given anew, it is a new execution


async def test_a_crash_while_forgetting_is_made_good() -> None:
    world = World()
    process = await world.process()
    await process.control.handle([commanded(name, n) for n, name in enumerate((E0, E1, E2, E3))])
    world.crash = "before"
    with pytest.raises(Crash):
        await process.control.forget()
    assert len(await present(world)) == 4
    world.crash = ""
    await (await world.process()).control.forget()
    assert await present(world) == {E2, E3}
    assert world.tombstones() == [E0, E1]


async def test_a_workflow_given_twice_is_remembered_by_its_last_command() -> None:
    world = World()
    process = await world.process()
    given = [commanded(E0, 0), commanded(E0, 5), commanded(E1, 6), commanded(E2, 7)]
    await process.control.handle(given)
    await process.control.forget()
    assert process.table.forgotten(OWN) == 5


async def test_the_key_of_what_is_forgotten_is_that_of_older_releases() -> None:
    world = World()
    process = await world.process()
    await process.control.handle([commanded(name, n) for n, name in enumerate((E0, E1, E2))])
    await process.control.forget()
    odd = [record for record in world.records(changelog(TABLE)) if record.odd_key is not None]
    (noted,) = [record for record in odd if record.odd_key != MARK]
    assert noted.odd_key is not None
    assert noted.odd_key.data == b"\xff" + str(OWN).encode()
    assert noted.value == Forgotten(offset=0).encode(SERDE)


BIG = "x" * 150_000
"""Of a result, in bytes."""


async def test_a_workflow_fails_whose_results_are_too_large_to_be_handed_on() -> None:
    world = World()
    process = await world.process()
    many = [step(f"s{n}") for n in range(6)]
    await process.control.handle([record_of(command(*many, step("last", *(each.step_id for each in many))), "start")])
    await process.control.handle([record_of(answered(f"s{n}", BIG), f"answer {n}", n) for n in range(5)])
    assert process.status() == "running"
    # Five results of 150 kB were taken; with one of 300 kB the state of all of them is too large.
    await process.control.handle([record_of(answered("s5", BIG + BIG), "answer 5", 5)])
    found = world.said("workflows")[-1][1]
    assert isinstance(found, Workflow)
    assert found.status == "failed"
    assert "StepCompleted led to a record of" in found.error
    assert str(MAX_RECORD_BYTES - 4096) in found.error
    assert "last" not in {asked.step_id for _, asked in world.steps()}
    assert (await world.process()).status() == "failed"


def answered(step_id: str, value: str) -> StepCompleted:
    return StepCompleted(workflow_id="w", step_id=step_id, attempt=1, ts_event=T0, result={"value": value})


async def test_a_command_whose_state_is_too_large_fails_without_its_steps() -> None:
    world = World()
    process = await world.process()
    # Quotes are one byte in the command and two in the state.
    await process.control.handle([record_of(command(step("a", parameters={"text": '"' * 450_000})), "start")])
    assert process.status() == "failed"
    assert world.steps() == []
    assert "ExecuteWorkflow led to" in world.said("workflows")[-1][1].error


async def test_what_cannot_be_said_of_an_ended_workflow_is_a_dead_letter() -> None:
    world = World()
    process = await world.process()
    await process.control.handle([record_of(switch("calm"), "word 1", 0)])
    await process.control.handle([record_of(switch("x" * 999_500), "word 2", 1), record_of(switch("on"), "word 3", 2)])
    words = [message.reason for _, message in world.said("strategies")]
    assert words == ["calm", "on"]
    (letter,) = world.records(dead_letters("commands"))
    assert b"it led to a record of" in dict(letter.headers)["dlq_reason"]


def switch(reason: str) -> SetKillSwitch:
    return SetKillSwitch(workflow_id="w", account_id="A", active=True, reason=reason, ts_event=T0)
