"""The task loop: outputs, state and input offsets are one commit, and a restart neither loses nor doubles."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

import pytest

from schemas import StateSaved
from streams.broker import Follow, Offsets
from streams.errors import BrokerError, Fenced
from streams.memory_broker import MemoryBroker
from streams.outputs import Output, Outputs
from streams.reading import MARK
from streams.record import Envelope, Event, Record, TopicPartition
from streams.store import MemoryStore
from streams.task import Task, TaskMeta
from streams.topics import changelog
from tests.unit.streams.task_pool import (
    POOL,
    RISK,
    SERDE,
    SIGNALS,
    Counter,
    broker,
    committed,
    reasons,
    record,
    run_through,
    run_until,
    said,
    signal,
    signals,
    task,
)

CHANGELOG = TopicPartition(changelog(POOL), 0)


def saved(broker_: MemoryBroker) -> Mapping[str, str]:
    states = [SERDE.decode(each.value) for each in broker_.partition_log(CHANGELOG) if each.odd_key != MARK]
    return {state.key: state.state for state in states if isinstance(state, StateSaved)}


async def test_outputs_state_and_offsets_are_committed() -> None:
    log = await broker()
    await log.publish([*signals([1, 2, 3]), record(SIGNALS, signal(1, "other"), "of another")])
    made = await run_through(log)
    assert reasons(log) == ["1", "2", "3", "1"]
    assert committed(log, SIGNALS) == 4
    assert {name: text for name, text in saved(log).items() if "Count" in name} == {
        "Count:acc": '{"total":3}',
        "Count:other": '{"total":1}',
    }
    assert made.states.get(TaskMeta, "task").handled == {"signals": 4}


async def test_an_output_carries_its_cause_and_its_place_in_time() -> None:
    log = await broker()
    await log.publish(signals([1]))
    await run_through(log)
    [said_] = log.partition_log(RISK)
    envelope = Envelope.from_headers(said_.headers)
    assert (envelope.source, envelope.type, envelope.slice) == (POOL, "KillSwitchChanged", None)
    assert (envelope.causation_id, envelope.correlation_id, envelope.ts_init) == ("signal-0", "run-1", 5_000_000)
    assert (said_.key, said_.timestamp_ms) == ("acc", 5)


class Behind(MemoryBroker):
    """A broker whose answers come, for a while, from one that was cut off from the others: they are true, and old."""

    cut_off = False

    async def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: end // 2 if self.cut_off else end for place, end in (await super().ends(partitions)).items()}

    async def committed(self, task_id: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {} if self.cut_off else await super().committed(task_id, partitions)


async def test_old_answers_of_a_broker_that_was_cut_off_lead_nobody_astray() -> None:
    log = await broker(Behind)
    await log.publish(signals([1, 2, 3]))
    await run_through(log)
    log.cut_off = True
    await log.publish(signals([1, 2], 3))
    await run_through(log)
    assert reasons(log) == ["1", "2", "3", "4", "5"]


async def test_a_restart_goes_on_with_the_state_it_left() -> None:
    log = await broker()
    for start in (0, 3, 6):
        await log.publish(signals([1, 2, 3], start))
        await run_through(log)
    assert reasons(log) == [str(index) for index in range(1, 10)]
    ids = {Envelope.from_headers(each.headers).message_id for each in log.partition_log(RISK)}
    assert len(ids) == 9


class Breaking(MemoryBroker):
    """Fails its nth commit, before or after it is written."""

    def __init__(self, source: MemoryBroker, nth: int, *, written: bool) -> None:
        self.__dict__.update(source.__dict__)
        self._left, self._written = nth, written

    def commit(
        self, task: tuple[str, int], group: str, records: Sequence[Record], offsets: Offsets, follow: Follow | None
    ) -> list[int]:
        self._left -= 1
        if self._left == 0 and not self._written:
            raise BrokerError("gone before the commit")
        placed = super().commit(task, group, records, offsets, follow)
        if self._left == 0:
            raise BrokerError("gone before the answer")
        return placed


async def bytes_after(
    nth: int, *, written: bool, store: MemoryStore | None = None
) -> list[tuple[bytes | None, object]]:
    log = Breaking(await broker(), nth, written=written)
    for start in (0, 2, 4):
        await log.publish(signals([start, 13.0], start))
        try:
            await run_through(log, store=store)
        except BrokerError:
            await run_through(log, store=store)
    return [(each.value, tuple(each.headers)) for each in log.partition_log(RISK)]


@pytest.mark.parametrize("nth", range(1, 7))
@pytest.mark.parametrize("written", [True, False])
async def test_a_broker_that_fails_at_any_commit_changes_nothing(nth: int, written: bool) -> None:
    assert await bytes_after(nth, written=written) == await bytes_after(0, written=False)


@pytest.mark.parametrize("nth", range(1, 7))
@pytest.mark.parametrize("written", [True, False])
async def test_nor_does_it_with_snapshots(nth: int, written: bool) -> None:
    store = MemoryStore()
    assert await bytes_after(nth, written=written, store=store) == await bytes_after(0, written=False)
    assert await store.scan("") == [f"snapshot:{POOL}.0"]


async def test_a_restart_reads_only_what_follows_its_snapshot(caplog: pytest.LogCaptureFixture) -> None:
    log, store = await broker(), MemoryStore()
    for number in range(20):
        await log.publish(signals([1.0], number))
        await run_through(log, store=store)
    assert reasons(log) == [str(number) for number in range(1, 21)]
    with caplog.at_level(logging.INFO):
        made = await run_through(log, store=store)
    assert made.states.records_read < 10 < len(log.partition_log(CHANGELOG))
    assert f"{POOL}.0: restored from a snapshot and {made.states.records_read} records" in caplog.text
    assert made.states.get(TaskMeta, "task").handled == {"signals": 20}


async def test_an_older_owner_is_fenced() -> None:
    log = await broker()
    await log.publish(signals([1]))
    older, younger = task(log), task(log)
    owned = asyncio.Event()
    older.on_commit = lambda _: owned.set() if committed(log, SIGNALS) else None
    running = asyncio.create_task(older.run())
    async with asyncio.timeout(10):
        await owned.wait()
    await run_until(younger, lambda: True)
    await log.publish(signals([2, 3], start=1))
    with pytest.raises(Fenced):
        async with asyncio.timeout(10):
            await running
    assert reasons(log) == ["1"]
    await run_through(log)
    assert reasons(log) == ["1", "2", "3"]


class Placing(Counter):
    """Says twice what it counted, then where the first two stand."""

    def outputs(self, event: Event, total: int) -> Outputs:
        cause = event.envelope.message_id
        first = [said("acc", f"{total} {word}", cause) for word in ("once", "twice")]
        return Outputs(first, lambda offsets: [said("acc", f"at {list(offsets)}", cause)])


async def test_follow_tells_where_the_first_outputs_stand() -> None:
    log = await broker()
    await log.publish(signals([1, 2]))
    await run_through(log, Placing())
    assert reasons(log) == ["1 once", "1 twice", "at [0, 1]", "2 once", "2 twice", "at [3, 4]"]


async def test_two_outputs_of_one_cause_have_two_ids() -> None:
    log = await broker()
    await log.publish(signals([1]))
    await run_through(log, Placing())
    ids = [Envelope.from_headers(each.headers).message_id for each in log.partition_log(RISK)]
    assert len(ids) == len(set(ids)) == 3


class Timed(Counter):
    """Says that time has come, once."""

    def due(self, task: Task) -> Sequence[Output]:
        meta = task.states.get(TaskMeta, "timer")
        if meta.handled:
            return ()
        meta.handled["timer"] = 1
        return [said("acc", "due", "timer")]


async def test_what_is_due_is_said_without_input() -> None:
    log = await broker()
    await run_until(task(log, Timed()), lambda: bool(reasons(log)))
    await log.publish(signals([1]))
    await run_through(log, Timed())
    assert reasons(log) == ["due", "1"]
