"""Members of a group that have an instance id, on real Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from streams.broker import TopicConfig
from streams.errors import ConfigError
from streams.kafka_broker import KafkaBroker, KafkaOptions

pytestmark = pytest.mark.kafka
TOPIC, ALL = "alpha.changelog", frozenset(range(4))


class Process:
    """A member as a process would be one, with a broker of its own."""

    def __init__(self, options: KafkaOptions) -> None:
        self.broker = KafkaBroker(options)
        self.stop = asyncio.Event()
        self.told: list[frozenset[int]] = []
        self._changed = asyncio.Condition()

    async def assigned(self, partitions: frozenset[int]) -> None:
        async with self._changed:
            self.told.append(partitions)
            self._changed.notify_all()

    async def until(self, wanted: Callable[[frozenset[int]], bool]) -> frozenset[int]:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: bool(self.told) and wanted(self.told[-1]))
        return self.told[-1]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        await self.broker.start()
        await self.broker.create_topics({TOPIC: TopicConfig(4)})
        joined = asyncio.create_task(self.broker.join("alpha", TOPIC, self.assigned, self.stop))
        try:
            yield joined
        finally:
            self.stop.set()
            await asyncio.gather(joined, return_exceptions=True)
            await self.broker.stop()


async def test_who_comes_under_an_id_takes_its_place_and_the_former_one_ends(kafka_bootstrap: str, prefix: str) -> None:
    """So it is after a crash, too: the group does not know that the former process is gone."""
    one, other, again = (Process(KafkaOptions(kafka_bootstrap, prefix, instance_id=name)) for name in ("a", "b", "a"))
    async with one.running() as former:
        await one.until(lambda owned: owned == ALL)
        async with other.running():
            had = await one.until(lambda owned: len(owned) == 2)
            before = [await other.until(lambda owned: len(owned) == 2)]
            async with again.running() as present:
                assert await again.until(bool) == had
                with pytest.raises(ConfigError, match=r"another process has taken kafka\.instance_id 'a'"):
                    async with asyncio.timeout(20):
                        await former
                assert one.told[-1] == frozenset()
                assert not present.done()
                assert other.told == before, "nobody else was disturbed"


async def test_who_is_asked_to_stop_leaves_at_once_though_it_has_an_id(kafka_bootstrap: str, prefix: str) -> None:
    # Were the group to wait for it, it would for a minute.
    one, other = (
        Process(KafkaOptions(kafka_bootstrap, prefix, instance_id=name, session_timeout_ms=60_000)) for name in "ab"
    )
    async with one.running():
        await one.until(lambda owned: owned == ALL)
        one.stop.set()
        await one.until(lambda owned: not owned)
        async with other.running():
            assert await other.until(bool) == ALL
