"""What the task loop does with records that nobody can handle."""

import dataclasses

import pytest

from streams.dead_letters import OFFSET, PARTITION, POOL, TOPIC
from streams.errors import HandlerError
from streams.record import Record, TopicPartition
from streams.task import TaskMeta
from tests.unit.streams.task_pool import (
    FILLS,
    SIGNALS,
    broker,
    committed,
    fill,
    letters,
    reasons,
    record,
    run_through,
    run_until,
    signal,
    signals,
    task,
)


async def test_a_record_whose_handler_raises_is_set_aside_whole() -> None:
    log = await broker()
    sent = signals([1, 13.0, 3])
    await log.publish(sent)
    made = await run_through(log)
    [(letter, reason)] = letters(log, "signals")
    assert reason == "13 at signals[0]@1"
    assert (letter.key, letter.value, letter.partition) == (sent[1].key, sent[1].value, 0)
    assert tuple(letter.headers[: len(sent[1].headers)]) == tuple(sent[1].headers)
    headers = dict(letter.headers)
    assert [headers[name] for name in (TOPIC, PARTITION, OFFSET, POOL)] == [b"signals", b"0", b"1", b"counter"]
    assert reasons(log) == ["1", "2"], "what the handler did to its state before it raised is undone"
    assert made.states.get(TaskMeta, "task").dead == {"signals": 1}


async def test_two_poisonous_records_are_both_set_aside_once() -> None:
    log = await broker()
    await log.publish(signals([13.0, 1, 13.0, 2]))
    await run_through(log)
    await log.publish(signals([3], start=4))
    await run_through(log)
    assert [reason for _, reason in letters(log, "signals")] == ["13 at signals[0]@0", "13 at signals[0]@2"]
    assert reasons(log) == ["1", "2", "3"]


async def test_a_handler_that_raises_on_money_stops_its_task_and_keeps_the_offset() -> None:
    log = await broker()
    await log.publish([record(FILLS, fill(10.0), "fill-0")])
    made = task(log)
    await run_until(made, lambda: committed(log, FILLS) == 1)
    await log.publish([record(FILLS, fill(13.0), "fill-1"), record(FILLS, fill(11.0), "fill-2")])
    for _ in range(2):
        with pytest.raises(HandlerError, match=r"13 at fills\[0\]@1"):
            await run_until(task(log), lambda: False)
        assert committed(log, FILLS) == 1
        assert reasons(log) == ["1"]
        assert letters(log, "fills") == []


GOOD = record(SIGNALS, signal(1), "good")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (dataclasses.replace(GOOD, value=b"{}"), "no Avro framing: the value starts with 7b7d"),
        (dataclasses.replace(GOOD, value=None), "the value is empty"),
        (dataclasses.replace(GOOD, value=(GOOD.value or b"")[:-1]), "bytes are not a Signal"),
        (dataclasses.replace(GOOD, value=b"\xc3\x0112345678"), "no schema has the fingerprint 3132333435363738"),
        (dataclasses.replace(GOOD, headers=()), "header ce_id is missing"),
        (record(SIGNALS, fill(1.0), "misplaced"), "OrderFilled does not belong on signals"),
    ],
)
async def test_a_record_that_cannot_be_taken_in_is_set_aside_with_the_reason(bad: Record, reason: str) -> None:
    log = await broker()
    await log.publish([*signals([1]), bad, *signals([2], start=1)])
    await run_through(log)
    [(letter, said)] = letters(log, "signals")
    assert reason in said
    assert letter.value == bad.value
    assert tuple(letter.headers)[: len(bad.headers)] == tuple(bad.headers)
    assert reasons(log) == ["1", "2"]


async def test_a_bad_record_on_a_table_is_set_aside_by_the_first_task() -> None:
    log = await broker()
    await log.publish([Record("strategies", "run", b"{}"), *signals([1])])
    made = await run_through(log)
    [(letter, said)] = letters(log, "strategies")
    assert (letter.value, said) == (b"{}", "no Avro framing: the value starts with 7b7d")
    assert made.states.get(TaskMeta, "task").dead == {"strategies": 1}
    assert committed(log, TopicPartition("strategies", 0)) == 1
