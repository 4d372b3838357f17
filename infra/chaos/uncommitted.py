"""What stands on the log and was never committed."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition

from infra.chaos.reading import Log
from streams.errors import BrokerError
from streams.record import TopicPartition

_READ_S = 600.0
_POLL_MS = 500


async def aborted_ids(bootstrap: str, places: list[TopicPartition], committed: Log) -> tuple[int, set[str]]:
    """Return how many records of aborted transactions stand on the places, and the ids that only those have."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_uncommitted",
    )
    count, ids = 0, set[str]()
    try:
        async with asyncio.timeout(_READ_S):
            await consumer.start()
            partitions = [KafkaPartition(*place) for place in places]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            await consumer.seek_to_beginning(*partitions)
            while any([await consumer.position(place) < end for place, end in ends.items()]):
                for place, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                    for record in records:
                        if (place.topic, place.partition, record.offset) not in committed.offsets:
                            count += 1
                            ids.add(dict(record.headers).get("ce_id", b"").decode())
    except TimeoutError:
        raise BrokerError(f"the log could not be read within {_READ_S:g} s") from None
    finally:
        await consumer.stop()
    return count, ids - committed.places.keys()
