"""What stands on a real Kafka in aborted transactions is counted, and told apart from what was committed."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaProducer

from infra.chaos.reading import Log
from infra.chaos.uncommitted import aborted_ids
from streams.broker import TopicConfig
from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.record import Envelope, TopicPartition

pytestmark = pytest.mark.kafka


async def test_aborted_records_are_counted_and_their_own_ids_named(kafka_bootstrap: str, prefix: str) -> None:
    topic = f"{prefix}signals"
    broker = KafkaBroker(KafkaOptions(kafka_bootstrap))
    await broker.start()
    try:
        await broker.create_topics({topic: TopicConfig(2)})
    finally:
        await broker.stop()
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id=f"{prefix}planted")
    await producer.start()
    log = Log()
    try:
        for ids, committed in ((("again", "never"), False), (("again",), True), (("never",), False)):
            await producer.begin_transaction()
            for name in ids:
                sent = await producer.send_and_wait(topic, b"", partition=0, headers=headers(name))
                if committed:
                    log.offsets.add((topic, 0, sent.offset))
                    log.places[name] = "somewhere"
            await (producer.commit_transaction() if committed else producer.abort_transaction())
    finally:
        await producer.stop()
    places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    assert await aborted_ids(kafka_bootstrap, places, log) == (3, {"never"})


def headers(name: str) -> list[tuple[str, bytes]]:
    """Return the envelope of a message under an id."""
    return Envelope(name, "Signal", "test", 1, "run", "cause").headers()
