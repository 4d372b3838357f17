"""Orchestrators that lost their partitions without knowing it, on a real Kafka: nothing of them is ever seen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from orchestrator import faust_engine
from orchestrator.faust_engine import FaustEngine, engine_of
from orchestrator.faust_kept import TABLE, Kept
from orchestrator.faust_table import WorkflowTable
from orchestrator.faust_tasks import Tasks
from orchestrator.wiring import context_of
from streams.broker import partition_of
from streams.errors import StoodStill
from streams.reading import read_whole
from streams.record import Record, TopicPartition
from streams.topics import changelog
from tests.integration.orchestrator_world import World, command, settings_of, step, world_of

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
OWN = partition_of("w", 2)
WRITTEN = ("steps", "workflows", changelog(TABLE))


class HeldEngine(FaustEngine):
    """Waits before it commits while it is held, as one that is paused in the middle of a batch."""

    def hold(self) -> None:
        """Let no commit go on."""
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def _commit(self, partition: int, records: Sequence[Record], offsets: Mapping[TopicPartition, int]) -> None:
        self.reached.set()
        await self.go_on.wait()
        await super()._commit(partition, records, offsets)

    @property
    def is_settled(self) -> bool:
        return bool(self._app.settled)


@pytest.fixture
async def world(kafka_bootstrap: str, prefix: str) -> AsyncIterator[World]:
    async with world_of(settings_of(kafka_bootstrap, prefix)) as made:
        yield made


async def log_of(world: World, topic: str) -> list[tuple[int, bytes | None]]:
    """Return what a reader of committed records sees of the workflow on a topic, with the offsets."""
    place = TopicPartition(topic, OWN)
    return [(each.offset, each.value) async for each in read_whole(world.broker, [place]) if each.key == "w"]


async def newest(world: World) -> Kept:
    """Return the workflow's last state on the changelog."""
    (_, value) = (await log_of(world, changelog(TABLE)))[-1]
    assert value is not None
    return Kept.decode(value, world.serde)


async def test_a_commit_after_a_takeover_is_fenced_and_nothing_of_it_is_seen(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faust_engine, "GIVE_WAY_S", 100.0)
    engine, stop = HeldEngine(world.settings, context_of(world.settings)), asyncio.Event()
    engine.hold()
    engine.go_on.set()
    running = asyncio.create_task(engine.run(stop))
    await world.say(command("w", step("a"), step("b", "a")))
    asked = await world.asked("w", "a")
    engine.hold()
    await world.answer(asked)
    await engine.reached.wait()

    # Another process takes the partition over, and finds the answer not handled and the state before it.
    tasks, table = Tasks(world.broker), WorkflowTable(world.serde)
    await table.restore(world.broker, await tasks.take([OWN]))
    kept = table.kept("w")
    assert kept is not None
    newer = kept.model_copy(update={"offset": 1_000})
    written = Record(changelog(TABLE), "w", newer.encode(world.serde), (), OWN)
    await tasks.commit(OWN, [written], {})
    seen = [await log_of(world, topic) for topic in WRITTEN]

    with caplog.at_level(logging.WARNING, "finagent.orchestrator"):
        engine.go_on.set()
        async with asyncio.timeout(30):
            while engine.is_settled:  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # being fenced is no event
    assert "waiting for the group to share the partitions out again" in caplog.text
    assert [await log_of(world, topic) for topic in WRITTEN] == seen
    assert (await newest(world)).offset == 1_000

    # It takes its share again when the group changes, and goes on from the newer state.
    await tasks.release()
    second = await world.start()
    await world.answer(await world.asked("w", "b"))
    assert (await world.ended("w")).status == "completed"
    assert not running.done()
    second.terminate()
    stop.set()
    await running
    assert (await newest(world)).offset == 1_000
    assert all(len(ids) == 1 for ids in world.ids.values())


async def test_one_that_is_fenced_for_no_reason_of_the_group_s_takes_its_partitions_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faust_engine, "GIVE_WAY_S", 0.5)
    stop = asyncio.Event()
    running = asyncio.create_task(engine_of(world.settings).run(stop))
    await world.say(command("w", step("a"), step("b", "a")))
    asked = await world.asked("w", "a")
    async with world.broker.transactions(f"orchestrator.{OWN}"):
        await world.answer(asked)
        await world.answer(await world.asked("w", "b"))
    assert (await world.ended("w")).status == "completed"
    assert all(len(ids) == 1 for ids in world.ids.values())
    stop.set()
    await running


class LingeringEngine(FaustEngine):
    """Its Faust does not stop when it is asked to."""

    def _built(self, partitions: int) -> Any:
        app = super()._built(partitions)
        self.stop_app, app.stop = app.stop, asyncio.Event().wait
        return app


async def test_one_whose_faust_does_not_stop_ends_instead(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would keep its place in the group, and events that nobody takes."""
    monkeypatch.setattr(faust_engine, "GIVE_WAY_S", 0.5)
    monkeypatch.setattr(faust_engine, "STOP_S", 0.5)
    engine = LingeringEngine(world.settings, context_of(world.settings))
    running = asyncio.create_task(engine.run(asyncio.Event()))
    await world.say(command("w", step("a")))
    asked = await world.asked("w", "a")
    async with world.broker.transactions(f"orchestrator.{OWN}"):
        await world.answer(asked)
        with pytest.raises(StoodStill, match="did not stop after the task has a new owner"):
            await running
    await engine.stop_app()
