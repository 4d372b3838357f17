"""The broker port's promises on topics, order, readers and time, held by the in-memory log and by Kafka."""

import asyncio

import pytest

from streams.broker import Broker, TopicConfig, partition_of
from streams.errors import UnknownTopic
from streams.record import Record, TopicPartition
from tests.contract.conftest import Whole

TICKS = [TopicPartition("ticks", partition) for partition in range(3)]


@pytest.fixture(autouse=True)
async def ticks(broker: Broker) -> None:
    await broker.create_topics({"ticks": TopicConfig(3), "positions": TopicConfig(1, compacted=True)})


def tick(key: str, value: bytes | None, partition: int | None = None, timestamp_ms: int = 0) -> Record:
    return Record("ticks", key, value, partition=partition, timestamp_ms=timestamp_ms)


async def test_topics_are_made_once_and_never_changed(broker: Broker) -> None:
    await broker.create_topics({"ticks": TopicConfig(5), "bars": TopicConfig(2)})
    await broker.create_topics({"ticks": TopicConfig(5)})
    assert await broker.topics() == {"ticks": 3, "positions": 1, "bars": 2}
    assert await broker.ends(TICKS) == await broker.beginnings(TICKS) == dict.fromkeys(TICKS, 0)


async def test_records_keep_their_order_within_a_partition(broker: Broker, whole: Whole) -> None:
    records = [tick("A.X", str(index).encode(), partition=index % 2) for index in range(50)]
    assert await broker.publish(records) == [index // 2 for index in range(50)]
    for partition in (0, 1):
        found = await whole.until(25, TICKS[partition])
        assert [int(record.value or b"") for record in found] == list(range(partition, 50, 2))
        assert [record.offset for record in found] == list(range(25))
    assert await broker.ends(TICKS) == dict(zip(TICKS, (25, 25, 0), strict=True))


async def test_a_key_goes_where_the_murmur2_of_every_kafka_client_puts_it(broker: Broker, whole: Whole) -> None:
    keys = ["", "AAPL.XNAS", "MSFT.XNAS", "BTC-USD.CB", "köy", *(f"K{index}.X" for index in range(30))]
    await broker.publish([tick(key, b"1") for key in keys])
    found = await whole.until(len(keys), *TICKS)
    assert {record.key: record.partition for record in found} == {key: partition_of(key, 3) for key in keys}


async def test_key_headers_and_time_stay_as_they_were(broker: Broker, whole: Whole) -> None:
    headers = (("ce_id", b"1"), ("twice", b"\x00\xff"), ("twice", b""))
    sent = Record("ticks", "A.X", b"\x00value", headers, 1, 1_500_000_000_123)
    await broker.publish([sent])
    [found] = await whole.until(1, TICKS[1])
    assert (found.topic, found.partition, found.offset) == ("ticks", 1, 0)
    assert (found.key, found.value, tuple(found.headers)) == (sent.key, sent.value, headers)
    assert found.timestamp_ms == sent.timestamp_ms


async def test_a_reader_starts_where_it_was_told_and_knows_its_position(broker: Broker) -> None:
    await broker.publish([tick("A.X", str(index).encode(), 0) for index in range(10)])
    async with broker.reader({TICKS[0]: 4}) as reader:
        assert reader.position(TICKS[0]) == 4
        first = await reader.poll(10, max_records=2)
        assert [record.offset for record in first] == [4, 5]
        assert reader.position(TICKS[0]) == 6
        assert [record.offset for record in await reader.poll(10)] == [6, 7, 8, 9]
        assert reader.position(TICKS[0]) == 10


async def test_an_idle_poll_returns_nothing_and_a_record_wakes_it(broker: Broker) -> None:
    async with broker.reader(dict.fromkeys(TICKS, 0)) as reader:
        assert list(await reader.poll(0.05)) == []
        assert list(await reader.poll(0)) == []
        waiting = asyncio.create_task(reader.poll(10))
        await asyncio.sleep(0)
        await broker.publish([tick("A.X", b"1", 2)])
        async with asyncio.timeout(5):
            assert [record.value for record in await waiting] == [b"1"]


async def test_a_paused_partition_is_left_out_and_loses_nothing(broker: Broker) -> None:
    await broker.publish([tick("A.X", str(index).encode(), 0) for index in range(3)])
    async with broker.reader(dict.fromkeys(TICKS, 0)) as reader:
        assert [record.value for record in await reader.poll(10, max_records=1)] == [b"0"]
        reader.pause([TICKS[0]])
        reader.pause([TICKS[0]])
        await broker.publish([tick("B.X", b"other", 1)])
        assert [record.value for record in await reader.poll(10)] == [b"other"]
        assert list(await reader.poll(0.05)) == []
        assert reader.position(TICKS[0]) == 1
        reader.resume([TICKS[0]])
        assert [record.value for record in await reader.poll(10)] == [b"1", b"2"]


async def test_offsets_are_found_by_time_even_where_times_are_unsorted(broker: Broker) -> None:
    times = [1000, 3000, 2000, 4000]
    await broker.publish([tick("A.X", b"1", 0, timestamp_ms=time) for time in times])
    for asked, offset in ((1, 0), (1000, 0), (1001, 1), (2500, 1), (3001, 3), (4000, 3), (4001, None)):
        assert await broker.offsets_for_times({TICKS[0]: asked}) == {TICKS[0]: offset}
    assert await broker.offsets_for_times({TICKS[0]: 3500, TICKS[1]: 1}) == {TICKS[0]: 3, TICKS[1]: None}


async def test_a_compacted_topic_read_whole_gives_the_latest_per_key(broker: Broker, whole: Whole) -> None:
    said = [("a", b"1"), ("b", b"1"), ("a", b"2"), ("b", None), ("c", b"1"), ("a", b"3")]
    await broker.publish([Record("positions", key, value) for key, value in said])
    found = await whole.until(len(said), TopicPartition("positions", 0))
    latest = {record.key: record.value for record in found}
    assert {key: value for key, value in latest.items() if value is not None} == {"a": b"3", "c": b"1"}
    assert latest["b"] is None


@pytest.mark.parametrize("place", [TopicPartition("nowhere", 0), TopicPartition("ticks", 3)])
async def test_an_unknown_place_is_refused_at_once(broker: Broker, place: TopicPartition) -> None:
    """Whether or not the broker would make the topic itself: no topic comes to be by a typing error."""
    async with asyncio.timeout(5):
        with pytest.raises(UnknownTopic, match=place.topic):
            await broker.publish([Record("ticks", "A.X", b"1"), Record(place.topic, "A.X", b"1", (), place.partition)])
        with pytest.raises(UnknownTopic):
            async with broker.reader({place: 0}) as reader:
                await reader.poll(0)
        with pytest.raises(UnknownTopic):
            await broker.beginnings([place])
        with pytest.raises(UnknownTopic):
            await broker.ends([place])
        with pytest.raises(UnknownTopic):
            await broker.offsets_for_times({place: 0})
    assert set(await broker.topics()) == {"ticks", "positions"}
    assert await broker.ends(TICKS) == dict.fromkeys(TICKS, 0)
