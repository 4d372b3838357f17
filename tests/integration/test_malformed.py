"""A short flood of malformed records; `python -m tests.performance.malformed` runs the long one."""

import pytest

from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.memory_broker import MemoryBroker
from tests.flooded import Seen, run

KINDS = {"malformed", "unknown_schema", "invalid", "headers", "misplaced"}


def held(seen: Seen, count: int) -> None:
    assert seen.kinds.total() + seen.handled + seen.refused_at_the_edge == count
    assert min(seen.kinds[kind] for kind in KINDS) > count // 50, "each kind must be well represented"
    assert seen.handled > count // 20


async def test_each_malformed_record_becomes_a_dead_letter_in_memory() -> None:
    seen = await run(MemoryBroker(), 20_000, seed=11)
    held(seen, 20_000)
    assert seen.refused_at_the_edge > 0


@pytest.mark.kafka
async def test_each_malformed_record_becomes_a_dead_letter_on_kafka(kafka_bootstrap: str, prefix: str) -> None:
    broker = KafkaBroker(KafkaOptions(kafka_bootstrap, prefix=prefix))
    await broker.start()
    seen = await run(broker, 5_000, seed=12)
    await broker.stop()
    held(seen, 5_000)
