"""The broker port's promises on transactions and fencing, held by the in-memory log and by Kafka."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest

from streams.broker import Broker, TopicConfig
from streams.errors import Fenced, UnknownTopic
from streams.record import Record, TopicPartition
from tests.contract.conftest import Whole

IN, OUT, REFERENCES = (TopicPartition(name, 0) for name in ("bars", "fills", "positions"))
TASK = "execution.0"


@pytest.fixture(autouse=True)
async def topics(broker: Broker) -> None:
    await broker.create_topics({place.topic: TopicConfig(2) for place in (IN, OUT, REFERENCES)})


def out(value: bytes) -> Record:
    return Record(OUT.topic, "a", value, partition=0)


async def test_outputs_and_offsets_are_committed_together(broker: Broker, whole: Whole) -> None:
    async with broker.transactions(TASK) as transactions:
        assert await broker.committed(TASK, [IN]) == {}
        assert await transactions.commit([out(b"1"), out(b"2")], {IN: 7}) == [0, 1]
        await transactions.commit([], {IN: 8})
        await transactions.commit([])
    other = IN._replace(partition=1)
    async with broker.transactions(TASK):
        assert await broker.committed(TASK, [IN, other]) == {IN: 8}
        assert await broker.committed("execution.1", [IN]) == {}
    assert await whole.values(2, OUT) == [b"1", b"2"]


async def test_offsets_may_be_committed_under_the_group_of_another_name(broker: Broker) -> None:
    async with broker.transactions(TASK, group="execution") as transactions:
        await transactions.commit([], {IN: 7})
    async with broker.transactions(TASK):
        assert await broker.committed("execution", [IN]) == {IN: 7}
        assert await broker.committed(TASK, [IN]) == {}


async def test_follow_sees_where_the_first_records_stand(broker: Broker, whole: Whole) -> None:
    await broker.publish([out(b"before")])
    seen: list[Sequence[int]] = []

    def follow(offsets: Sequence[int]) -> list[Record]:
        seen.append(list(offsets))
        return [Record(REFERENCES.topic, "a", repr(list(offsets)).encode(), partition=0), out(b"follower")]

    async with broker.transactions(TASK) as transactions:
        first = [out(b"1"), Record(OUT.topic, "b", b"elsewhere", partition=1), out(b"2")]
        placed = await transactions.commit(first, {IN: 1}, follow)
    assert seen == [[1, 0, 2]]
    assert placed == [1, 0, 2, 0, 3], "of the records, then of what followed"
    assert await whole.values(1, REFERENCES) == [b"[1, 0, 2]"]
    found = {record.offset: record.value for record in await whole.until(4, OUT)}
    assert found == {0: b"before", 1: b"1", 2: b"2", 3: b"follower"}


async def test_a_failed_follow_leaves_nothing_to_be_seen(broker: Broker, whole: Whole) -> None:
    def follow(offsets: Sequence[int]) -> list[Record]:
        raise ArithmeticError("no followers")

    with pytest.raises(ArithmeticError, match="no followers"):
        async with broker.transactions(TASK) as transactions:
            await transactions.commit([out(b"lost")], {IN: 5}, follow)
    async with broker.transactions(TASK) as transactions:
        assert await broker.committed(TASK, [IN]) == {}
        await transactions.commit([out(b"kept")])
    assert await whole.values(1, OUT) == [b"kept"]


def instead(followers: list[Record], offsets: Sequence[int]) -> list[Record]:
    return followers


async def test_a_record_without_a_place_leaves_nothing_to_be_seen(broker: Broker, whole: Whole) -> None:
    lost, astray = out(b"lost"), Record("nowhere", "a", b"2")
    cases: list[tuple[list[Record], list[Record]]] = [([lost, astray], []), ([lost], [lost, astray])]
    for records, followers in cases:
        with pytest.raises(UnknownTopic, match="nowhere"):
            async with broker.transactions(TASK) as transactions:
                await transactions.commit(records, {IN: 5}, partial(instead, followers))
    async with broker.transactions(TASK) as transactions:
        assert await broker.committed(TASK, [IN]) == {}
        await transactions.commit([out(b"kept")])
    assert await whole.values(1, OUT) == [b"kept"]


async def test_a_second_owner_fences_the_first(broker: Broker, whole: Whole) -> None:
    async with broker.transactions(TASK) as first:
        await first.commit([out(b"first")], {IN: 1})
        async with broker.transactions(TASK) as second:
            with pytest.raises(Fenced):
                await first.commit([out(b"zombie")], {IN: 2}, lambda offsets: [out(b"zombie too")])
            assert await broker.committed(TASK, [IN]) == {IN: 1}
            await second.commit([out(b"second")], {IN: 2})
    assert await whole.values(2, OUT) == [b"first", b"second"]


async def test_an_owner_is_fenced_before_its_first_commit_too(broker: Broker, whole: Whole) -> None:
    async with broker.transactions(TASK) as first, broker.transactions(TASK) as second:
        with pytest.raises(Fenced):
            await first.commit([out(b"zombie")])
        await second.commit([out(b"second")])
    assert await whole.values(1, OUT) == [b"second"]


async def test_a_fenced_owner_cannot_commit_offsets_alone(broker: Broker) -> None:
    async with broker.transactions(TASK) as first, broker.transactions(TASK):
        with pytest.raises(Fenced):
            await first.commit([], {IN: 9})
        assert await broker.committed(TASK, [IN]) == {}


async def test_tasks_do_not_fence_each_other(broker: Broker, whole: Whole) -> None:
    async with broker.transactions(TASK) as first, broker.transactions("execution.1") as second:
        await first.commit([out(b"0")], {IN: 1})
        await second.commit([out(b"1")], {IN: 2})
        await first.commit([out(b"2")], {IN: 3})
    assert await whole.values(3, OUT) == [b"0", b"1", b"2"]
    async with broker.transactions(TASK), broker.transactions("execution.1"):
        assert await broker.committed(TASK, [IN]) == {IN: 3}
        assert await broker.committed("execution.1", [IN]) == {IN: 2}


async def test_a_reader_reaches_the_end_although_it_may_lie_beyond_the_last_record(broker: Broker) -> None:
    """Kafka's transaction markers take offsets; state is restored by reading up to ends()."""
    async with broker.transactions(TASK) as transactions:
        for index in range(3):
            await transactions.commit([out(str(index).encode())], {IN: index})
    values = []
    async with broker.transactions(TASK):
        end = (await broker.ends([OUT]))[OUT]
        async with asyncio.timeout(10), broker.reader(await broker.beginnings([OUT])) as reader:
            while reader.position(OUT) < end:
                values += [record.value for record in await reader.poll(0.2)]
    assert values == [b"0", b"1", b"2"]
