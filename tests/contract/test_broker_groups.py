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
    """A member of a group that notes what it owns, and every partition that it had to give up."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.may_give_up = asyncio.Event()
        self.may_give_up.set()
        self.owned: frozenset[int] = frozenset()
        self.given_up: list[int] = []
        self._changed = asyncio.Condition()

    async def assigned(self, partitions: frozenset[int]) -> None:
        gone, self.owned = self.owned - partitions, partitions
        async with self._changed:
            self._changed.notify_all()
        if gone:
            await self.may_give_up.wait()
            self.given_up += sorted(gone)

    async def until(self, wanted: Callable[[frozenset[int]], bool]) -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: wanted(self.owned))


def joining(group: asyncio.TaskGroup, broker: Broker, member: Member) -> asyncio.Task[None]:
    return group.create_task(broker.join("alpha", TOPIC, member.assigned, member.stop))


async def test_members_share_and_give_back(broker: Broker) -> None:
    one, other = Member(), Member()
    async with asyncio.TaskGroup() as group:
        joining(group, broker, one)
        await one.until(lambda owned: owned == ALL)
        joining(group, broker, other)
        await other.until(lambda owned: len(owned) == 2)
        await one.until(lambda owned: len(owned) == 2)
        assert one.owned | other.owned == ALL
        other.stop.set()
        await one.until(lambda owned: owned == ALL)
        one.stop.set()
    assert one.owned == other.owned == frozenset()


async def test_what_stays_is_not_given_up_while_others_come_and_go(broker: Broker) -> None:
    members = [Member() for _ in range(4)]
    first = members[0]
    async with asyncio.TaskGroup() as group:
        for count, member in enumerate(members, start=1):
            joining(group, broker, member)
            await member.until(bool)
            for each in members[:count]:
                await each.until(lambda owned, count=count: len(owned) in (4 // count, -(-4 // count)))  # type: ignore[misc]
        kept = first.owned
        assert sorted(place for each in members for place in each.owned) == sorted(ALL), "each has one owner"
        assert sum(len(each.given_up) for each in members) == 2 + 1 + 1, "no more than what each new one takes"
        for leaving in members[2:]:
            leaving.stop.set()
        await first.until(lambda owned: len(owned) == 2)
        await members[1].until(lambda owned: len(owned) == 2)
        assert kept < first.owned
        members[1].stop.set()
        await first.until(lambda owned: owned == ALL)
        assert len(first.given_up) == 3
        first.stop.set()


async def test_a_member_that_takes_its_time_to_give_up_holds_nobody_up(broker: Broker) -> None:
    one, other, third = Member(), Member(), Member()
    async with asyncio.TaskGroup() as group:
        joining(group, broker, one)
        await one.until(lambda owned: owned == ALL)
        one.may_give_up.clear()
        joining(group, broker, other)
        await other.until(lambda owned: len(owned) == 2)
        joining(group, broker, third)
        await third.until(lambda owned: len(owned) == 1)
        other.stop.set()
        third.stop.set()
        await one.until(lambda owned: owned == ALL)
        assert one.given_up == []
        one.may_give_up.set()
        one.stop.set()


async def test_who_leaves_has_given_up_before_it_is_gone(broker: Broker) -> None:
    one, other = Member(), Member()
    async with asyncio.TaskGroup() as group:
        leaving = joining(group, broker, one)
        await one.until(lambda owned: owned == ALL)
        one.may_give_up.clear()
        one.stop.set()
        await one.until(lambda owned: not owned)
        joining(group, broker, other)
        await asyncio.wait([leaving], timeout=0.5)
        assert not leaving.done()
        one.may_give_up.set()
        await leaving
        assert sorted(one.given_up) == sorted(ALL)
        await other.until(lambda owned: owned == ALL)
        assert one.owned == frozenset()
        other.stop.set()


async def test_groups_do_not_share_with_each_other(broker: Broker) -> None:
    one, other = Member(), Member()
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
