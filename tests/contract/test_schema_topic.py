"""The topic `schemas`, on each broker: what a newer release writes is read by an older one."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest

from schemas import SliceClosed, TickBlock
from schemas.avro import fingerprint_of, released, schema_of
from streams.broker import Broker, TopicConfig
from streams.errors import BrokerError, UnknownSchema
from streams.learning import LearningBroker
from streams.reading import read_whole
from streams.record import Record, TopicPartition
from streams.schema_topic import SchemaTopic
from streams.serde import Serde, single_object
from streams.topics import SCHEMAS
from tests.contract.conftest import Whole
from tests.unit.schemas.example_messages import example

NEWER = {**schema_of(SliceClosed)}
NEWER["fields"] = [*NEWER["fields"], {"name": "added", "type": "string", "default": ""}]
PLACE, TICKS = TopicPartition(SCHEMAS, 0), TopicPartition("ticks", 0)


def newer(**more: Any) -> bytes:
    """Return a SliceClosed as a newer release writes it."""
    out = io.BytesIO()
    out.write(single_object(fingerprint_of(NEWER)))
    fastavro.schemaless_writer(out, NEWER, {**example(SliceClosed).to_avro(), "added": "x", **more})
    return out.getvalue()


async def test_a_schema_stands_there_once_whoever_tells_it(broker: Broker, whole: Whole) -> None:
    schemas = [schema_of(SliceClosed), schema_of(TickBlock)]
    await SchemaTopic(broker).publish(schemas)
    await SchemaTopic(broker).publish([*schemas, *schemas, NEWER])
    ends = await broker.ends([PLACE])
    found = await whole.until(3, PLACE)
    assert ends[PLACE] == len(found) == 3
    assert {record.key for record in found} == {
        single_object(fingerprint_of(each))[2:].hex() for each in [*schemas, NEWER]
    }


async def test_a_reader_reads_what_a_newer_release_wrote(broker: Broker) -> None:
    await broker.create_topics({"ticks": TopicConfig(1)})
    serde = Serde(SchemaTopic(broker))
    reading = LearningBroker(broker, serde)
    async with reading.reader({TICKS: 0}) as reader:
        # Only after the reader has begun is the newer release deployed.
        await SchemaTopic(broker).publish([NEWER])
        await broker.publish([Record("ticks", "k", newer())])
        records: list[Any] = []
        while not records:
            records += await reader.poll(0.2)
    assert serde.decode(records[0].value) == example(SliceClosed)


async def test_a_fingerprint_that_nobody_told_is_unknown_and_asked_for_in_vain(broker: Broker) -> None:
    topic = SchemaTopic(broker)
    serde, values = Serde(topic), [single_object(number) + b"x" for number in range(50)]
    await serde.learn(values)  # before any process has made the topic
    with pytest.raises(
        UnknownSchema, match="no schema has the fingerprint 0700000000000000: neither one of this release nor on"
    ):
        serde.decode(values[7])
    await topic.publish([NEWER])
    await serde.learn([*values, newer()])
    assert serde.decode(newer()) == example(SliceClosed)
    with pytest.raises(UnknownSchema):
        serde.decode(values[7])


async def test_what_stands_under_another_schemas_fingerprint_is_not_believed(broker: Broker) -> None:
    await SchemaTopic(broker).publish([released()["SliceClosed"][1]])
    key = single_object(fingerprint_of(NEWER))[2:].hex()
    lies = [b"{}", b"\xff", b"", None, b'{"type": "record", "name": "SliceClosed", "fields": []}', b"[1]"]
    await broker.publish([Record(SCHEMAS, key, value, partition=0) for value in lies])
    serde = Serde(SchemaTopic(broker))
    await serde.learn([newer()])
    with pytest.raises(UnknownSchema):
        serde.decode(newer())


async def test_every_committed_schema_has_its_fingerprint_on_the_topic(broker: Broker) -> None:
    """An older release, which lacks the newest version of each message, would find all of them."""
    newest = [versions[max(versions)] for versions in released().values()]
    await SchemaTopic(broker).publish(newest)
    frames = [single_object(fingerprint_of(schema)) for schema in newest]
    found = await SchemaTopic(broker).find(frames)
    assert [fingerprint_of(found[frame]) for frame in frames] == [fingerprint_of(schema) for schema in newest]


class Away:
    """A source that cannot be asked, until it can."""

    def __init__(self) -> None:
        self.back = False

    async def find(self, frames: Any) -> dict[bytes, Any]:
        if not self.back:
            raise BrokerError("away")
        return {single_object(fingerprint_of(NEWER)): NEWER}


async def test_records_wait_while_the_source_is_away(broker: Broker) -> None:
    """Not knowing is no reason to refuse a record, nor to lose it for who polls again."""
    await broker.create_topics({"ticks": TopicConfig(1)})
    await broker.publish([Record("ticks", "k", newer()), Record("ticks", "k", newer(added="y"))])
    source = Away()
    serde = Serde(source)
    async with LearningBroker(broker, serde).reader({TICKS: 0}) as reader:
        for _ in range(2):
            with pytest.raises(BrokerError, match="away"):
                await reader.poll(10)
        source.back = True
        records = list(await reader.poll(0.5))
        while len(records) < 2:
            records += await reader.poll(0.5)
    assert [record.value for record in records] == [newer(), newer(added="y")]
    assert serde.decode(records[1].value) == example(SliceClosed)


async def test_what_is_known_needs_no_source(broker: Broker) -> None:
    await broker.create_topics({"ticks": TopicConfig(1)})
    serde = Serde(Away())
    values = [serde.encode(example(SliceClosed)), None, b"", b"not avro"]
    await broker.publish([Record("ticks", "k", value) for value in values])
    found = [record.value async for record in read_whole(LearningBroker(broker, serde), [TICKS])]
    assert found == values
