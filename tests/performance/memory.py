"""Events per second from Kafka into Redis by the memory agent, on a mixed log.

python -m tests.performance.memory [COPIES]; 35 copies are 100,000 events. Uses FINAGENT_KAFKA_BOOTSTRAP and
FINAGENT_REDIS_URL.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import Sequence

from agents.memory.keys import OFFSETS
from agents.memory.writing import offsets_of
from orchestrator.remembering import memory_agent
from orchestrator.settings import load
from orchestrator.wiring import broker_of, store_of
from streams.clock import WallClock
from streams.host import create_topology
from streams.ids import derive_id
from streams.record import Record
from tests.dataplane import Plane, sample, started

SYMBOLS = ("AAPL", "GOOGL", "IBM", "MSFT")
_AT_ONCE = 5_000


async def events_per_second(bootstrap: str, redis_url: str, copies: int, max_events: int = 10_000) -> dict[str, float]:
    """Return events, seconds until all are in Redis, rate and CPU of this process, for a traded year in several copies.

    Each copy has other message ids.
    """
    records = await _traded_year()
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    kafka = {"bootstrap": bootstrap, "prefix": prefix}
    memory = {"max_events": max_events, "ttl_s": 1e9}
    settings = load(overrides={"kafka": kafka, "redis": {"url": redis_url}, "memory": memory}, environ={})
    broker, store = broker_of(settings), store_of(settings)
    await broker.start()
    await create_topology(broker, settings.kafka.partitions.model_dump(), ())
    for copy in range(copies):
        await _publish(broker, [_renamed(each, copy) for each in records])
    agent, stop = memory_agent(settings.memory, broker, store, WallClock()), asyncio.Event()
    began, cpu = time.perf_counter(), time.process_time()
    running = asyncio.create_task(agent.run(stop))
    ends = await broker.ends(await agent.places())
    while agent.handled < copies * len(records):  # noqa: ASYNC110 - the agent has no event for it
        await asyncio.sleep(0.05)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert (offsets_of(await store.get(OFFSETS)) or {}).keys() >= ends.keys()
    stop.set()
    await running
    for key in await store.scan(""):
        await store.delete(key)
    await store.stop()
    await broker.stop()
    events = copies * len(records)
    return {
        "events": events,
        "seconds": seconds,
        "per_second": events / seconds,
        "cpu_us_per_event": cpu / events * 1e6,
    }


async def _traded_year() -> list[Record]:
    plane = Plane()
    plane.clock.advance_to(WallClock().now())
    async with plane.running():
        instruments, slices = sample(SYMBOLS, "2012-01-03", "2012-12-31")
        await plane.announce(started("run", instruments, rebalance_frequency="bar", parameters={"top": 2}))
        await plane.publish(slices)
    logs = [plane.records(name) for name in plane.broker._logs if not name.endswith(".changelog")]
    every = [each for log in logs for each in log if dict(each.headers).get("ce_type") != b"finagent.SliceClosed"]
    return [Record(each.topic, each.key, each.value, each.headers, None, each.timestamp_ms) for each in every]


def _renamed(record: Record, copy: int) -> Record:
    def other(name: str, value: bytes) -> bytes:
        ids = name in ("ce_id", "causation_id")
        return derive_id(value.decode(), "copy", copy).encode() if ids else value

    headers = tuple((name, other(name, value)) for name, value in record.headers)
    return Record(record.topic, record.key, record.value, headers, None, record.timestamp_ms)


async def _publish(broker: object, records: Sequence[Record]) -> None:
    for begin in range(0, len(records), _AT_ONCE):
        await broker.publish(records[begin : begin + _AT_ONCE])  # type: ignore[attr-defined]


if __name__ == "__main__":
    services = os.environ["FINAGENT_KAFKA_BOOTSTRAP"], os.environ["FINAGENT_REDIS_URL"]
    print(json.dumps(asyncio.run(events_per_second(*services, int(sys.argv[1]) if len(sys.argv) > 1 else 35))))
