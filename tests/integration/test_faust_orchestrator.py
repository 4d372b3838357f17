"""The orchestrator on Faust against a real Kafka: crashes, takeovers, timers and bad input."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition

from orchestrator.advance import Context
from orchestrator.faust_engine import FaustEngine, engine_of
from orchestrator.settings import Settings
from orchestrator.strategy import TradingStrategy
from orchestrator.wiring import all_kinds, context_of, kinds_of, partitions_of, pools_of
from schemas import CancelWorkflow, ExecuteStrategy, RunStep, StepCompleted, Workflow
from streams.broker import partition_of
from streams.clock import WallClock
from streams.host import Host, create_topology
from streams.memory_broker import MemoryBroker
from streams.record import Record, TopicPartition
from streams.serde import Serde
from streams.tail import tail
from tests.integration.orchestrator_world import World, command, members, record_of, settings_of, step, world_of

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


@pytest.fixture
async def world(kafka_bootstrap: str, prefix: str) -> AsyncIterator[World]:
    async with world_of(settings_of(kafka_bootstrap, prefix)) as made:
        yield made


@pytest.fixture
async def engine(world: World) -> AsyncIterator[FaustEngine]:
    """Run the orchestrator within the test's own loop."""
    engine, stop = engine_of(world.settings), asyncio.Event()
    running = asyncio.create_task(engine.run(stop))
    yield engine
    stop.set()
    await running


def strategy_command(workflow_id: str) -> ExecuteStrategy:
    spec = TradingStrategy("s1", "Momentum", symbols=["AAPL", "MSFT"]).to_spec()
    return ExecuteStrategy(workflow_id=workflow_id, ts_event=time.time_ns(), strategy=spec)


def result_keys(workflow: Workflow) -> dict[str, list[str]]:
    assert workflow.status == "completed", workflow.error
    return {each.spec.step_id: sorted(each.result) for each in workflow.steps}


async def embedded(order: ExecuteStrategy) -> Workflow:
    """Execute a strategy in this process's memory, by the task loop."""
    settings, broker, serde = Settings.from_dict({}), MemoryBroker(), Serde()
    kinds = all_kinds(pools_of(settings), context_of(settings))
    await broker.start()
    await create_topology(broker, partitions_of(settings), kinds)
    host = Host(broker, kinds, partitions_of(settings), WallClock(), serde)
    running = asyncio.create_task(host.run())
    async with tail(broker, serde, ["workflows"], from_beginning=True) as watch:
        await broker.publish([record_of(order, "embedded", serde)])
        world = World(settings, broker, watch, serde)
        ended = await world.ended(order.workflow_id)
    host.stop.set()
    await running
    await broker.stop()
    return ended


async def test_a_strategy_is_executed_as_in_one_process(world: World) -> None:
    kinds = [kind for pool in pools_of(world.settings) for kind in kinds_of(pool) if kind.name.endswith(".steps")]
    host = Host(world.broker, kinds, partitions_of(world.settings), WallClock(), world.serde)
    pools = asyncio.create_task(host.run())
    await world.start()
    await world.say(strategy_command("strategy"))
    found = await world.ended("strategy")
    host.stop.set()
    await pools
    assert result_keys(found) == result_keys(await embedded(strategy_command("embedded")))
    assert all(len(ids) == 1 for ids in world.ids.values())


async def test_crashes_lose_and_repeat_nothing(kafka_bootstrap: str, prefix: str) -> None:
    """Side by side, since each waits until the group has given the dead process up."""
    async with asyncio.TaskGroup() as group:
        for scenario in (killed_between_steps, dead_before_a_commit, dead_after_a_commit, dead_at_a_timer, taken_over):
            group.create_task(in_a_world(scenario, settings_of(kafka_bootstrap, f"{prefix}{scenario.__name__}.")))


async def in_a_world(scenario: Callable[[World], Awaitable[None]], settings: Settings) -> None:
    async with world_of(settings) as world:
        await scenario(world)
        assert all(len(ids) == 1 for ids in world.ids.values())


async def killed_between_steps(world: World) -> None:
    """SIGKILL while a step is done; its answer comes when nobody is there."""
    first = await world.start()
    await world.say(command("w", step("a"), step("b", "a"), step("c", "b")))
    await world.answer(await world.asked("w", "a"))
    asked = await world.asked("w", "b")
    first.kill()
    await world.answer(asked)
    await world.start()
    await world.answer(await world.asked("w", "c"))
    assert (await world.ended("w")).status == "completed"
    assert set(world.ids) == {("w", "a", 1), ("w", "b", 1), ("w", "c", 1)}


async def dead_before_a_commit(world: World) -> None:
    """Nothing of a command's effects was written: it comes again."""
    first = await world.start("die_before", 1)
    await world.say(command("w", step("a")))
    assert await first.wait() == 9
    await world.watch.poll()
    assert not world.ids
    await world.start()
    await world.answer(await world.asked("w", "a"))
    assert (await world.ended("w")).status == "completed"


async def dead_after_a_commit(world: World) -> None:
    """All of a command's effects were written: it does not come again."""
    first = await world.start("die_after", 1)
    await world.say(command("w", step("a")))
    assert await first.wait() == 9
    await world.start()
    await world.answer(await world.asked("w", "a"))
    assert (await world.ended("w")).status == "completed"
    assert sum(isinstance(event.message, RunStep) for event in world.watch.events) == 1


async def dead_at_a_timer(world: World) -> None:
    """Nothing of a timer's effects was written; commits are the first attempt, its timeout, the second attempt."""
    first = await world.start("die_before", 3)
    await world.say(command("w", step("a", timeout_s=0.5, max_attempts=2)))
    assert await first.wait() == 9
    await world.watch.poll()
    assert set(world.ids) == {("w", "a", 1)}
    await world.start()
    await world.asked("w", "a", attempt=2)
    assert (await world.ended("w")).status == "failed"


async def taken_over(world: World) -> None:
    """Of two processes with a partition each one is killed; the other goes on with both workflows."""
    names = [next(f"w{i}" for i in range(100) if partition_of(f"w{i}", 2) == partition) for partition in (0, 1)]
    first, second = await world.start(), await world.start()
    await members(world.settings, 2)
    asked = []
    for name in names:
        await world.say(command(name, step("a"), step("b", "a")))
        asked.append(await world.asked(name, "a"))
    first.kill()
    for event in asked:
        await world.answer(event)
    for name in names:
        await world.answer(await world.asked(name, "b"))
        assert (await world.ended(name)).status == "completed"
    told = (await first.communicate())[0].decode().splitlines()
    assert {line for line in told if line.startswith("steps")} in ({f"steps {name}"} for name in names)
    second.terminate()
    assert await second.wait() == 0


async def test_forgotten_workflows_do_not_start_again(kafka_bootstrap: str, prefix: str) -> None:
    """All commands come again after those of forgotten workflows: nothing of them is done again, the rest goes on."""
    async with world_of(settings_of(kafka_bootstrap, prefix, max_ended_workflows=1)) as world:
        names = [name for name in map("w{}".format, range(100)) if partition_of(name, 2) == 0][:5]
        *forgotten, kept, last = names
        first = await world.start()
        for name in (*forgotten, kept):
            await carried_out(world, name)
        await tombstones(world, set(forgotten))
        first.terminate()
        assert await first.wait() == 0
        asked = attempts(world, *forgotten)
        await rewind(world.settings)
        await world.start()
        await carried_out(world, last)
        assert attempts(world, *forgotten) == asked == len(forgotten)
        assert attempts(world, kept) == 1
        assert all(len(ids) == 1 for ids in world.ids.values())


async def carried_out(world: World, name: str) -> None:
    """Run a workflow of one step."""
    await world.say(command(name, step("a")))
    await world.answer(await world.asked(name, "a"))
    assert (await world.ended(name)).status == "completed"


def attempts(world: World, *names: str) -> int:
    """Return how many attempts of these workflows were asked for, repetitions included."""
    steps = (event.message for event in world.watch.events)
    return sum(isinstance(each, RunStep) and each.workflow_id in names for each in steps)


async def tombstones(world: World, names: set[str]) -> None:
    """Wait until these workflows, and no others, are taken from the topic `workflows`."""
    place, found = TopicPartition("workflows", 0), set()
    async with asyncio.timeout(30), world.broker.reader(await world.broker.beginnings([place])) as reader:
        while found < names:
            found |= {record.key for record in await reader.poll(0.2) if record.value is None}
    assert found == names


async def rewind(settings: Settings) -> None:
    """Have the orchestrators' group begin again."""
    group, topics = settings.kafka.prefix + "orchestrator", ("commands", "results")
    places = [KafkaPartition(settings.kafka.prefix + name, partition) for name in topics for partition in (0, 1)]
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    consumer.assign(places)
    await consumer.commit(dict.fromkeys(places, 0))
    await consumer.stop()


async def test_a_silent_pool_times_out_and_is_asked_again(world: World, engine: FaustEngine) -> None:
    await world.say(command("w", step("a", timeout_s=0.3, max_attempts=2)))
    failed = await world.ended("w")
    assert failed.status == "failed"
    assert "timed out after 0.3 s" in failed.error
    first, second = [(await world.asked("w", "a", attempt)).message for attempt in (1, 2)]
    assert isinstance(first, RunStep)
    assert isinstance(second, RunStep)
    assert second.ts_event - first.deadline >= 500_000_000


async def test_a_cancelled_workflow_ignores_late_answers(world: World, engine: FaustEngine) -> None:
    await world.say(command("w", step("a"), step("b", "a")))
    asked = await world.asked("w", "a")
    await world.say(CancelWorkflow(workflow_id="w", ts_event=time.time_ns()))
    assert (await world.ended("w")).status == "cancelled"
    await world.answer(asked)
    await world.say(command("next", step("a")))
    await world.answer(await world.asked("next", "a"))
    assert (await world.ended("next")).status == "completed"
    assert ("w", "b", 1) not in world.ids


async def test_an_error_ends_the_engine_and_its_event_comes_again(world: World) -> None:
    def broken(message_id: str, now: int) -> Context:
        raise RuntimeError(f"no context for {message_id}")

    await world.say(command("w", step("a")))
    with pytest.raises(RuntimeError, match="no context for"):
        await FaustEngine(world.settings, broken).run(asyncio.Event())
    await world.start()
    await world.answer(await world.asked("w", "a"))
    assert (await world.ended("w")).status == "completed"


async def test_malformed_commands_become_dead_letters(world: World, engine: FaustEngine) -> None:
    good = record_of(command("other", step("a")), "id", world.serde)
    bad = [
        Record("commands", "w", b"nonsense", good.headers),
        Record("commands", "w", None, good.headers),
        Record("commands", "w", good.value, good.headers),
        Record("commands", "other", good.value, ()),
        Record("commands", "w", world.serde.encode(completed("w", "a")), good.headers),
    ]
    await world.broker.publish(bad)
    await world.say(command("w", step("a")))
    await world.answer(await world.asked("w", "a"))
    assert (await world.ended("w")).status == "completed"
    reasons = [dict(headers)["dlq_reason"].decode() for headers in await dead(world)]
    for part in ("no Avro framing", "value is empty", "the key is 'w'", "ce_specversion|ce_id", "does not belong"):
        assert any(each in reason for reason in reasons for each in part.split("|")), (part, reasons)
    assert len(reasons) == len(bad)


async def test_results_that_together_are_too_large_fail_their_workflow_alone(world: World, engine: FaustEngine) -> None:
    parts = [f"s{number}" for number in range(4)]
    await world.say(command("w", *map(step, parts), step("all", *parts)))
    for name in parts:
        await world.asked("w", name)
        large = completed("w", name).model_copy(update={"result": {"text": "x" * 300_000}})
        await world.say(large)
    failed = await world.ended("w")
    assert failed.status == "failed"
    assert "StepCompleted led to a record of" in failed.error
    assert ("w", "all", 1) not in world.ids
    await carried_out(world, "next")


async def dead(world: World) -> list[list[tuple[str, bytes]]]:
    """Return the headers of the dead letters of commands."""
    places = [TopicPartition("commands.dlq", partition) for partition in (0, 1)]
    ends = await world.broker.ends(places)
    found = []
    async with world.broker.reader(await world.broker.beginnings(places)) as reader:
        while any(reader.position(place) < end for place, end in ends.items()):
            found += [list(record.headers) for record in await reader.poll(0.2)]
    return found


def completed(workflow_id: str, step_id: str) -> StepCompleted:
    return StepCompleted(workflow_id=workflow_id, step_id=step_id, attempt=1, result={}, ts_event=time.time_ns())


async def test_an_aborted_answer_is_not_seen(world: World, engine: FaustEngine) -> None:
    await world.say(command("w", step("a"), step("b", "a")))
    asked = await world.asked("w", "a")
    answer = record_of(completed("w", "a"), "aborted", world.serde)
    kafka = world.settings.kafka
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=kafka.prefix + "test")
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait(kafka.prefix + "results", answer.value, b"w", headers=list(answer.headers))
    await producer.abort_transaction()
    await producer.stop()
    handled = engine.handled
    await world.answer(asked)
    await world.answer(await world.asked("w", "b"))
    assert (await world.ended("w")).status == "completed"
    assert engine.handled == handled + 2
    assert not any((await engine.lag()).values())
