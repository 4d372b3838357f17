"""Ticks per second: the columnar codec alone, and encode -> broker -> decode to numpy."""

from __future__ import annotations

import time
from typing import Any

from agents.data.synthetic import synthetic_ticks
from schemas import TickBlock
from streams.broker import Broker, TopicConfig
from streams.record import Record, TopicPartition
from streams.serde import Serde

TICKS = 2_000_000
PLACE = TopicPartition("ticks", 0)


def _blocks() -> list[TickBlock]:
    return synthetic_ticks(("SIMA",), TICKS, seed=1, start_ns=1_600_000_000_000_000_000)


async def codec(broker: Broker) -> dict[str, Any]:
    """Encode and decode blocks of 1,000 rows, validation included."""
    serde, made = Serde(), _blocks()
    began = time.perf_counter()
    data = [serde.encode(block) for block in made]
    encoded = time.perf_counter()
    for value in data:
        serde.decode(value)
    decoded = time.perf_counter()
    return {
        "ticks": TICKS,
        "encode_ticks_per_s": round(TICKS / (encoded - began)),
        "decode_ticks_per_s": round(TICKS / (decoded - encoded)),
    }


async def run(broker: Broker) -> dict[str, Any]:
    """Encode, publish, read back and decode to numpy columns."""
    serde, made = Serde(), _blocks()
    await broker.create_topics({"ticks": TopicConfig(1)})
    began, rows = time.perf_counter(), 0
    for start in range(0, len(made), 200):
        batch = made[start : start + 200]
        await broker.publish([Record("ticks", block.instrument_id, serde.encode(block)) for block in batch])
    published = time.perf_counter()
    async with broker.reader({PLACE: 0}) as reader:
        while rows < TICKS:
            for record in await reader.poll(1.0):
                block = serde.decode(record.value)
                assert isinstance(block, TickBlock)
                rows += len(block.price)
    done = time.perf_counter()
    return {
        "ticks": rows,
        "publish_ticks_per_s": round(TICKS / (published - began)),
        "read_ticks_per_s": round(TICKS / (done - published)),
        "ticks_per_s": round(TICKS / (done - began)),
    }
