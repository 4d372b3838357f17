"""How long readers stand still behind the transaction of a process that was killed in the middle of it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.services.kafka_config import cluster_settings
from streams.broker import Reader, TopicConfig
from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.record import Record, TopicPartition

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]
ROOT = Path(__file__).parents[2]
PLACE, TASK = TopicPartition("orders", 0), "risk.0"
CLEANUP_S = int(str(cluster_settings(1)["transaction.abort.timed.out.transaction.cleanup.interval.ms"])) / 1000
MARGIN_S = 5.0
"""For a machine that has other things to do."""


@pytest.fixture
async def broker(kafka_bootstrap: str, prefix: str) -> AsyncIterator[KafkaBroker]:
    made = KafkaBroker(KafkaOptions(kafka_bootstrap, prefix=prefix))
    await made.start()
    await made.create_topics({PLACE.topic: TopicConfig(1)})
    yield made
    await made.stop()


def killed_in_the_middle(broker: KafkaBroker, timeout_s: float) -> None:
    """Have a process open a transaction of the task, write, and be killed by SIGKILL."""
    options = broker.options
    command = [sys.executable, "-m", "tests.integration.open_transaction", options.bootstrap, options.prefix]
    command += [TASK, PLACE.topic, str(int(timeout_s * 1000))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "written\n"
        finally:
            process.kill()


async def values_until(reader: Reader, last: bytes, within_s: float) -> list[bytes | None]:
    """Return what the reader sees up to a value; raise TimeoutError where it does not come in time."""
    found: list[bytes | None] = []
    async with asyncio.timeout(within_s):
        while last not in found:
            found += [record.value for record in await reader.poll(0.1)]
    return found


async def said(broker: KafkaBroker, value: bytes) -> None:
    await broker.publish([Record(PLACE.topic, "a", value, partition=0)])


async def test_the_broker_ends_it_within_the_timeout_and_its_interval(broker: KafkaBroker) -> None:
    timeout_s = 3.0
    await said(broker, b"before")
    await asyncio.to_thread(killed_in_the_middle, broker, timeout_s)
    await said(broker, b"after")
    async with broker.reader({PLACE: 0}) as reader:
        found = await values_until(reader, b"after", timeout_s + CLEANUP_S + MARGIN_S)
    assert found == [b"before", b"after"]


async def test_a_new_owner_ends_it_at_once(broker: KafkaBroker) -> None:
    await said(broker, b"before")
    await asyncio.to_thread(killed_in_the_middle, broker, 600.0)
    await said(broker, b"after")
    async with broker.reader({PLACE: 0}) as reader:
        assert await values_until(reader, b"before", MARGIN_S) == [b"before"]
        assert await broker.ends([PLACE]) == {PLACE: 1}, "nobody sees what stands behind an open transaction"
        async with broker.transactions(TASK):
            assert await values_until(reader, b"after", MARGIN_S) == [b"after"]
