"""The brokers that hold the contract, and ways to read them whole."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from streams.broker import Broker
from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.memory_broker import MemoryBroker
from streams.record import Received, TopicPartition


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
async def broker(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[Broker]:
    made: Broker = MemoryBroker() if request.param == "memory" else kafka(request, prefix)
    await made.start()
    yield made
    await made.stop()


def kafka(request: pytest.FixtureRequest, prefix: str) -> KafkaBroker:
    bootstrap = request.getfixturevalue("kafka_bootstrap")
    return KafkaBroker(KafkaOptions(bootstrap, prefix=prefix, session_timeout_ms=6000, timeout_s=10))


class Whole:
    """Reads partitions from their beginnings."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def until(self, count: int, *places: TopicPartition) -> list[Received]:
        """Return the first count records of the places, or more where they came along."""
        found: list[Received] = []
        async with asyncio.timeout(15), self._broker.reader(await self._broker.beginnings(places)) as reader:
            while len(found) < count:
                found += await reader.poll(0.2)
        return found

    async def values(self, count: int, *places: TopicPartition) -> list[bytes | None]:
        """Return the values of the first count records."""
        return [record.value for record in await self.until(count, *places)]


@pytest.fixture
def whole(broker: Broker) -> Whole:
    return Whole(broker)
