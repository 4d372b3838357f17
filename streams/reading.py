"""Read partitions whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from streams.broker import Broker, Offsets
from streams.errors import BrokerError
from streams.record import Received, TopicPartition

_IDLE_POLLS = 20
_POLL_S = 0.5


async def read_whole(
    broker: Broker, places: Sequence[TopicPartition], start: Offsets | None = None
) -> AsyncGenerator[Received, None]:
    """Yield the records of partitions from start, or their beginnings, to where they end at the call.

    Raises BrokerError where records are there and do not come.
    """
    ends = await broker.ends(places)
    async with broker.reader(start or await broker.beginnings(places)) as reader:
        idle = 0
        while any(reader.position(place) < end for place, end in ends.items()):
            records = await reader.poll(_POLL_S)
            idle = 0 if records else idle + 1
            if idle > _IDLE_POLLS:
                raise BrokerError(f"no records came although {len(places)} partitions were not read to their ends")
            for record in records:
                if record.offset < ends[TopicPartition(record.topic, record.partition)]:
                    yield record
