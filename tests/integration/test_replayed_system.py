"""A system of its own on the topics of a replay decides what the original decided."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agents.data.feed import Feed
from orchestrator.client import Client
from orchestrator.republish import Range, republish
from orchestrator.settings import Settings, load
from orchestrator.wiring import all_kinds, context_of, partitions_of, pools_of
from schemas import StartStrategy
from streams.broker import Broker
from streams.clock import WallClock
from streams.host import Host, create_topology
from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.serde import Serde
from streams.tail import tail
from tests.system.cluster import DECISIONS, decisions, half_year, rotation

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


@asynccontextmanager
async def system(bootstrap: str, prefix: str, settings: Settings) -> AsyncIterator[Broker]:
    """Run every task on Kafka under a prefix, in this process."""
    broker = KafkaBroker(KafkaOptions(bootstrap, prefix=prefix))
    await broker.start()
    kinds = all_kinds(pools_of(settings), context_of(settings))
    await create_topology(broker, partitions_of(settings), kinds)
    host = Host(broker, kinds, partitions_of(settings), WallClock(), Serde())
    running = asyncio.create_task(host.run())
    try:
        yield broker
    finally:
        host.stop.set()
        await running
        await broker.stop()


async def test_pools_on_a_replay_with_its_commands_decide_as_the_original_did(
    kafka_bootstrap: str, prefix: str
) -> None:
    settings = load(overrides={"log_level": "WARNING"}, environ={})
    serde, clock, counts = Serde(), WallClock(), partitions_of(settings)
    slices = half_year()[:40]
    command = StartStrategy(
        workflow_id="rotation",
        ts_event=clock.now(),
        strategy=rotation().to_spec(),
        initial_cash=100_000.0,
        end="2011-12-30",
    )
    async with system(kafka_bootstrap, prefix, settings) as broker:
        async with (
            tail(broker, serde, DECISIONS) as followed,
            Client.open(broker, serde, clock) as client,
            Feed.open(broker, counts, clock, serde) as feed,
        ):
            await client.submit(command)
            await client.until(lambda: "rotation" in client.runs, "the run to start", 60)
            await feed.publish(slices)
            last = feed.state.last_slice
            await followed.slice_done(last, counts, 90)
        original = decisions(followed.events)
        copied, _ = await republish(broker, serde, clock, Range("again", commands=True))
    assert copied == len(slices)
    async with (
        system(kafka_bootstrap, f"{prefix}bt.again.", settings) as broker,
        tail(broker, serde, DECISIONS, from_beginning=True) as followed,
    ):
        await followed.slice_done(last, counts, 90)
    assert decisions(followed.events) == original
    assert len(original) > 100
