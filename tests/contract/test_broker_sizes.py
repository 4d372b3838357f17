"""What a topic takes: records up to the project's limit, dead letters of any record."""

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.broker import MAX_LETTER_BYTES, MAX_RECORD_BYTES, Broker, TopicConfig
from streams.errors import RecordTooLarge
from streams.kafka_broker import KafkaBroker
from streams.record import Record, TopicPartition
from tests.contract.conftest import Whole, kafka

PLACE, LETTERS = TopicPartition("signals", 0), TopicPartition("signals.dlq", 0)


async def test_the_largest_record_is_taken_and_a_larger_one_is_not(broker: Broker, whole: Whole) -> None:
    await broker.create_topics({"signals": TopicConfig(1), "signals.dlq": TopicConfig(1, max_bytes=MAX_LETTER_BYTES)})
    headers = (("name", b"value"), ("null", None))
    largest = Record("signals", "a", b"x" * (MAX_RECORD_BYTES - 1 - 4 - 5 - 4 - 2 * 8), headers, 0)
    assert largest.size == MAX_RECORD_BYTES
    larger = Record("signals", "ab", largest.value, headers, 0)
    with pytest.raises(RecordTooLarge, match=f"a record of {MAX_RECORD_BYTES + 1} bytes for signals"):
        await broker.publish([largest, larger])
    async with broker.transactions("execution.0") as transactions:
        with pytest.raises(RecordTooLarge):
            await transactions.commit([largest], {PLACE: 5}, lambda _: [larger])
    async with broker.transactions("execution.0") as transactions:
        await transactions.commit([largest, Record("signals.dlq", "a", b"y" * 3_000_000, (), 0)], {PLACE: 5})
    assert [len(each or b"") for each in await whole.values(1, PLACE)] == [len(largest.value or b"")]
    assert await whole.values(1, LETTERS) == [b"y" * 3_000_000]


@pytest.mark.kafka
async def test_a_topic_with_a_lower_limit_costs_one_publish(request: pytest.FixtureRequest, prefix: str) -> None:
    """A refusal by Kafka breaks the sequence of an idempotent producer: it is refused whatever it sends next."""
    broker: KafkaBroker = kafka(request, prefix)
    await broker.start()
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.options.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(prefix + "signals", 1, 1, topic_configs={"max.message.bytes": "2000"})])
    await admin.close()
    await broker.publish([Record("signals", "a", b"1", (), 0)])
    with pytest.raises(RecordTooLarge, match=r"larger than its topic's max\.message\.bytes"):
        await broker.publish([Record("signals", "a", b"x" * 3000, (), 0)])
    assert await broker.publish([Record("signals", "a", b"2", (), 0)]) == [1]
    await broker.stop()
