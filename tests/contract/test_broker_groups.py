"""The broker port's promises on consumer groups, held by the in-memory log and by Kafka."""

import asyncio
from collections.abc import Callable

import pytest

from streams.broker import Broker, TopicConfig
from streams.errors import UnknownTopic

TOPIC, ALL = "alpha.changelog", frozenset(range(4))


@pytest.fixture(autouse=True)
async def topics(broker: Broker) -> None:
    await broker.create_topics({TOPIC: TopicConfig(4)})


class Member:
    """A member of one group that notes what it owns and that nobody else owns it."""

    def __init__(self, owners: dict[int, "Member"]) -> None:
        self.stop = asyncio.Event()
        self.may_give_up = asyncio.Event()
        self.may_give_up.set()
        self.giving_up = asyncio.Event()
        self._owners = owners
        self._changed = asyncio.Condition()

    @property
    def owned(self) -> frozenset[int]:
        return frozenset(partition for partition, owner in self._owners.items() if owner is self)

    async def assigned(self, partitions: frozenset[int]) -> None:
        for partition in self.owned - partitions:
            self.giving_up.set()
            await self.may_give_up.wait()
            del self._owners[partition]
        for partition in partitions:
            assert self._owners.setdefault(partition, self) is self, f"{partition} has two owners"
        async with self._changed:
            self._changed.notify_all()

    async def until(self, wanted: Callable[[frozenset[int]], bool]) -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: wanted(self.owned))


async def test_members_share_by_range_and_give_back(broker: Broker) -> None:
    owners: dict[int, Member] = {}
    one, other = Member(owners), Member(owners)
    async with asyncio.TaskGroup() as group:
        group.create_task(broker.join("alpha", TOPIC, one.assigned, one.stop))
        await one.until(lambda owned: owned == ALL)
        group.create_task(broker.join("alpha", TOPIC, other.assigned, other.stop))
        await other.until(lambda owned: len(owned) == 2)
        await one.until(lambda owned: len(owned) == 2)
        assert {one.owned, other.owned} == {frozenset({0, 1}), frozenset({2, 3})}
        other.stop.set()
        await one.until(lambda owned: owned == ALL)
        one.stop.set()
    assert owners == {}


async def test_nobody_is_given_what_another_has_not_given_up(broker: Broker) -> None:
    owners: dict[int, Member] = {}
    one, other = Member(owners), Member(owners)
    async with asyncio.TaskGroup() as group:
        group.create_task(broker.join("alpha", TOPIC, one.assigned, one.stop))
        await one.until(lambda owned: owned == ALL)
        one.may_give_up.clear()
        group.create_task(broker.join("alpha", TOPIC, other.assigned, other.stop))
        async with asyncio.timeout(20):
            await one.giving_up.wait()
        assert other.owned == frozenset()
        one.may_give_up.set()
        await other.until(lambda owned: len(owned) == 2)
        one.stop.set()
        await other.until(lambda owned: owned == ALL)
        other.stop.set()
    assert owners == {}


async def test_a_member_that_leaves_while_another_joins_keeps_nothing(broker: Broker) -> None:
    owners: dict[int, Member] = {}
    one, other = Member(owners), Member(owners)
    async with asyncio.TaskGroup() as group:
        leaving = group.create_task(broker.join("alpha", TOPIC, one.assigned, one.stop))
        await one.until(lambda owned: owned == ALL)
        one.may_give_up.clear()
        group.create_task(broker.join("alpha", TOPIC, other.assigned, other.stop))
        async with asyncio.timeout(20):
            await one.giving_up.wait()
        one.stop.set()
        one.may_give_up.set()
        await leaving
        await other.until(lambda owned: owned == ALL)
        assert one.owned == frozenset()
        other.stop.set()


async def test_groups_do_not_share_with_each_other(broker: Broker) -> None:
    one, other = Member({}), Member({})
    async with asyncio.TaskGroup() as group:
        group.create_task(broker.join("alpha", TOPIC, one.assigned, one.stop))
        group.create_task(broker.join("risk", TOPIC, other.assigned, other.stop))
        await one.until(lambda owned: owned == ALL)
        await other.until(lambda owned: owned == ALL)
        one.stop.set()
        other.stop.set()


async def test_what_a_member_raises_ends_its_membership(broker: Broker) -> None:
    async def assigned(partitions: frozenset[int]) -> None:
        if partitions:
            raise ArithmeticError("cannot own")

    with pytest.raises(ArithmeticError, match="cannot own"):
        async with asyncio.timeout(20):
            await broker.join("alpha", TOPIC, assigned, asyncio.Event())


async def test_an_unknown_topic_is_refused(broker: Broker) -> None:
    async def assigned(partitions: frozenset[int]) -> None:
        assert not partitions

    async with asyncio.timeout(5):
        with pytest.raises(UnknownTopic):
            await broker.join("alpha", "nowhere", assigned, asyncio.Event())
