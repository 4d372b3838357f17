"""Processes with a registry, without one, and while it is switched on, at work on one Kafka."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.enrolment import enrolled
from orchestrator.settings import Settings, load
from orchestrator.wiring import broker_of
from schemas import MESSAGES, Signal
from streams.broker import Broker, TopicConfig
from streams.errors import ConfigError, UnknownSchema
from streams.reading import read_whole
from streams.record import Record, TopicPartition
from streams.schema_topic import SchemaTopic
from streams.serde import CONFLUENT, SINGLE_OBJECT, Serde
from tests.unit.schemas.example_messages import example

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
PLACE = TopicPartition("signals", 0)


def on(bootstrap: str, prefix: str, **registry: Any) -> Settings:
    return load(
        overrides={"kafka": {"bootstrap": bootstrap, "prefix": prefix}, "schema_registry": registry}, environ={}
    )


async def said(broker: Broker, serde: Serde) -> bytes:
    value = serde.encode(example(Signal))
    await broker.publish([Record(PLACE.topic, "k", value, partition=0)])
    return value


async def heard(broker: Broker, serde: Serde) -> list[Any]:
    return [serde.decode(record.value) async for record in read_whole(broker, [PLACE])]


async def test_every_pair_of_modes_reads_each_other(kafka_bootstrap: str, schema_registry: str, prefix: str) -> None:
    """As while a registry is switched on, one process after the other."""
    plain, first, second = (
        on(kafka_bootstrap, prefix, **each)
        for each in ({}, {"url": schema_registry, "write_ids": False}, {"url": schema_registry})
    )
    broker = broker_of(plain)
    await broker.start()
    try:
        await broker.create_topics({"signals": TopicConfig(1)})
        talk = [await enrolled(settings, broker, None, ["alpha.changelog"]) for settings in (plain, first, second)]
        values = [await said(*each) for each in talk[:2]]
        assert [value[:2] for value in values] == [SINGLE_OBJECT] * 2
        for each in talk:
            assert await heard(*each) == [example(Signal)] * 2
        assert (await said(*talk[2]))[:1] == CONFLUENT
        for each in talk[1:]:
            assert await heard(*each) == [example(Signal)] * 3
        with pytest.raises(UnknownSchema, match="in no schema registry that is configured"):
            await heard(*talk[0])
        topic = SchemaTopic(broker)
        frames = [Serde().encode(example(kind))[:10] for kind in MESSAGES.values()]
        assert len(await topic.find(frames)) == len(MESSAGES), "each stands on the topic schemas, in either mode"
    finally:
        await broker.stop()


async def test_who_only_reads_writes_nowhere(kafka_bootstrap: str, schema_registry: str, prefix: str) -> None:
    settings = on(kafka_bootstrap, prefix, url=schema_registry)
    broker = broker_of(settings)
    await broker.start()
    try:
        _, serde = await enrolled(settings, broker, topics=())
        assert await broker.topics() == {}
        with pytest.raises(ConfigError, match="did not ask the schema registry whether it may write a Signal"):
            serde.encode(example(Signal))
    finally:
        await broker.stop()


async def test_a_log_in_memory_needs_no_registry() -> None:
    settings = load(overrides={"schema_registry": {"url": "http://127.0.0.1:1"}}, environ={})
    broker = broker_of(settings)
    reading, serde = await enrolled(settings, broker)
    assert reading is broker
    assert serde.encode(example(Signal))[:2] == SINGLE_OBJECT
