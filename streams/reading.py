"""Read partitions whole, and for certain: a leader that was cut off tells of an older end until it hears of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from streams.broker import Broker, Offsets, Transactions
from streams.errors import BrokerError
from streams.record import OddKey, Received, Record, TopicPartition

_IDLE_POLLS = 20
_POLL_S = 0.5
MARK = OddKey(b"\xffmark")
"""Key of a record without a value by which an owner learns where its changelog ends; no UTF-8, so no state's name."""


async def end_for_owner(transactions: Transactions, place: TopicPartition) -> int:
    """Return the end of a changelog partition that its owner alone writes, by writing to it.

    Only a leader that the others follow can take a record, and only the owner's producer is let through. So what stands
    before it is all that former owners have committed, whatever any other answer says.
    """
    [offset] = await transactions.commit([Record(place.topic, "", None, (), place.partition, odd_key=MARK)])
    return offset + 1


async def read_whole(
    broker: Broker, places: Sequence[TopicPartition], start: Offsets | None = None, ends: Offsets | None = None
) -> AsyncGenerator[Received, None]:
    """Yield the records of partitions from start, or their beginnings, to ends, or where they end at the call.

    Raises BrokerError where records are there and do not come.
    """
    ends = ends or await broker.ends(places)
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
