"""What the task loop counts for metrics."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streams.counts import Counts, Histogram
from streams.errors import BrokerError, HandlerError
from streams.in_hand import IN_HAND, TASK
from streams.memory_broker import MemoryBroker
from streams.outputs import Outputs
from streams.record import Event, Record, TopicPartition
from streams.slices import Work
from streams.task import Task
from tests.unit.streams.task_pool import (
    FILLS,
    SIGNALS,
    Counter,
    broker,
    committed,
    fill,
    record,
    run_through,
    run_until,
    signals,
    task,
)


def test_a_value_on_a_bound_belongs_below_it() -> None:
    histogram = Histogram((1.0, 10.0))
    for value in (0.5, 1.0, 1.1, 10.0, 10.1, 99.0):
        histogram.add(value)
    assert histogram.as_dict() == {"bounds": [1.0, 10.0], "buckets": [2, 2, 2], "sum": pytest.approx(121.7)}


async def test_records_count_once_their_transaction_is_committed() -> None:
    log = await broker()
    await log.publish(signals([1, 2, 3]))
    made = await run_through(log)
    assert made.counts.messages == {"signals": 3}
    assert made.counts.rows == {"signals": 3}
    assert sum(made.counts.handling["signals"].buckets) == 3
    assert made.counts.handling["signals"].total > 0
    assert sum(made.counts.batches.buckets) == 1
    assert made.counts.batches.total == 3
    assert sum(made.counts.commits.buckets) == 1
    assert (made.counts.aborted, made.counts.starts, made.counts.errors) == (0, 1, {})


async def test_work_that_was_undone_counts_as_an_error_and_not_as_handled() -> None:
    log = await broker()
    await log.publish([*signals([1, 13.0, 3]), Record("signals", "acc", b"rubbish", (), 0)])
    made = await run_through(log)
    assert made.counts.errors == {"signals": 1}
    assert made.counts.starts == 2
    assert made.counts.messages == {"signals": 2}, "the first was undone and done again, and counts once"
    assert made.counts.dead_letters == {"signals": 2}


async def test_an_error_on_money_is_counted_though_the_task_ends() -> None:
    log = await broker()
    await log.publish([record(FILLS, fill(13.0), "fill-1")])
    made = task(log)
    with pytest.raises(HandlerError):
        await made.run()
    assert made.counts.errors == {"fills": 1}
    assert made.working_since is None


async def test_a_transaction_that_fails_counts_as_aborted() -> None:
    log = await broker()
    await log.publish(signals([1]))
    made = task(log, Refused())
    with pytest.raises(BrokerError):
        await made.run()
    assert made.counts.aborted == 1
    assert made.counts.messages == {}


class Refused(Counter):
    """Answers onto a partition that does not exist."""

    def outputs(self, event: Event, total: int) -> Outputs:
        output = super().outputs(event, total).first[0]
        return Outputs([type(output)(output.message, output.cause, output.correlation, partition=99)])


async def test_positions_tell_what_is_handled_and_committed() -> None:
    log = await broker()
    seen: list[int] = []
    processor = Looking(seen)
    made = task(log, processor)
    assert made.positions() == {}
    await log.publish(signals([1, 2]))
    await run_until(made, lambda: committed(log, SIGNALS) == 2)
    assert seen == [0, 0], "what is handled and not yet committed does not count"
    assert made.positions() == {SIGNALS: 2, FILLS: 0, TopicPartition("strategies", 0): 0}


class Looking(Counter):
    """Looks at the task's position while it handles a record."""

    def __init__(self, seen: list[int]) -> None:
        self._seen = seen

    async def process(self, work: Work, task: Task) -> Outputs:
        assert task.working_since is not None
        [event] = work.events
        assert IN_HAND.get() is work
        assert TASK.get() == "counter.0"
        self._seen.append(task.positions()[TopicPartition(event.record.topic, 0)])
        return await super().process(work, task)


async def test_what_is_in_hand_is_forgotten_between_pieces_of_work() -> None:
    found: list[object] = []

    class Idle(Counter):
        def due(self, task: Task) -> Sequence[object]:  # type: ignore[override]
            found.append(IN_HAND.get())
            return ()

    log: MemoryBroker = await broker()
    await log.publish(signals([1]))
    await run_through(log, Idle())
    assert set(found) == {None}


def test_counts_survive_json() -> None:
    counts = Counts()
    counts.committed({"ticks": 2}, {"ticks": 2000}, ["bars", "bars"])
    counts.handled("mark", 0.02)
    told = counts.as_dict()
    assert told["messages"] == {"ticks": 2}
    assert told["rows"] == {"ticks": 2000}
    assert told["dead_letters"] == {"bars": 2}
    assert told["handling"]["mark"]["sum"] == 0.02


async def test_a_task_starts_with_nothing_in_hand_whatever_was_left_there() -> None:
    IN_HAND.set(Work(None, None, []))
    await test_what_is_in_hand_is_forgotten_between_pieces_of_work()
