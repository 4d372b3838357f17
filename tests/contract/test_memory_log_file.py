"""The in-memory log outlives its process as a file."""

from pathlib import Path

import pytest

from streams.broker import TopicConfig
from streams.errors import ConfigError
from streams.memory_broker import MemoryBroker
from streams.record import Record, TopicPartition


async def test_a_saved_log_is_loaded_as_it_was(tmp_path: Path) -> None:
    broker = MemoryBroker()
    await broker.create_topics({"ticks": TopicConfig(2), "empty": TopicConfig(3)})
    headers = (("ce_id", b"1"), ("ce_id", b"\x00"))
    await broker.publish(
        [
            Record("ticks", "A.X", b"\x00\xff", headers, 1, 1_500_000_000_000),
            Record("ticks", "", None, (), 0, 0),
            Record("ticks", "köy", b"", (), 1, 7),
        ]
    )
    path = tmp_path / "logs" / "run.avro"
    broker.save(path)
    loaded = MemoryBroker.load(path)
    assert await loaded.topics() == {"ticks": 2, "empty": 3}
    for place in (TopicPartition("ticks", 0), TopicPartition("ticks", 1), TopicPartition("empty", 2)):
        assert loaded.partition_log(place) == broker.partition_log(place)


async def test_a_loaded_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    broker = MemoryBroker()
    await broker.create_topics({"ticks": TopicConfig(1)})
    await broker.publish([Record("ticks", "a", b"0")])
    broker.save(tmp_path / "run.avro")
    loaded = MemoryBroker.load(tmp_path / "run.avro")
    assert await loaded.publish([Record("ticks", "a", b"1")]) == [1]


def test_a_missing_log_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no log at"):
        MemoryBroker.load(tmp_path / "nothing.avro")
