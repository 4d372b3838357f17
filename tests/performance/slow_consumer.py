"""A pool whose handler is slower than its producer, on real Kafka: one JSON line with its memory while its lag grows.

python -m tests.performance.slow_consumer [SECONDS [SIGNALS]]: on FINAGENT_KAFKA_BOOTSTRAP, or on a local broker. So
many signals wait at the beginning, and as many again come while the pool works; for each it counts the primes up to a
limit.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
import time
import uuid
from typing import Any

import numpy as np
import psutil

from agents.pool import AgentPool
from orchestrator.wiring import kinds_of
from schemas import Signal
from streams.broker import Broker
from streams.clock import WallClock
from streams.host import Host, create_topology
from streams.ids import derive_id
from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.record import Envelope, Record, TopicPartition
from streams.serde import Serde
from streams.state import State
from tests.performance.__main__ import kafka
from tests.performance.loop import made_signal

SIGNALS = 300_000
"""That wait at the beginning, where the command line names no other number."""
BATCH = 2_000
PARTITIONS = {"account": 1, "instrument": 1, "workflow": 1, "single": 1}
PLACE = TopicPartition("signals", 0)
LIMIT = 300_000
"""Up to which each handler call counts the primes: about 0.4 ms."""


class Work(State):
    """What was done."""

    signals: int = 0
    primes: int = 0


def slow_pool() -> AgentPool:
    """Return a pool that works for each signal."""
    pool = AgentPool("slow")

    @pool.on
    def count(signal: Signal, work: Work) -> None:
        sieve = np.ones(LIMIT, dtype=bool)
        sieve[:2] = False
        for number in range(2, int(LIMIT**0.5) + 1):
            if sieve[number]:
                sieve[number * number :: number] = False
        work.signals += 1
        work.primes = int(sieve.sum())

    return pool


async def publish(broker: Broker, serde: Serde, numbers: range, pause_s: float) -> None:
    """Publish signals, with a pause after each batch."""
    clock = WallClock()
    for start in numbers[::BATCH]:
        records = []
        for number in range(start, start + BATCH):
            envelope = Envelope(derive_id(str(number), "bench"), "Signal", "bench", clock.now(), "run", "bench")
            event = made_signal(number)
            records.append(Record("signals", event.account_id, serde.encode(event), envelope.headers(), 0))
        await broker.publish(records)
        await asyncio.sleep(pause_s)


async def consume(address: str, prefix: str, seconds: float) -> list[dict[str, float]]:
    """Run the pool in this process; return memory and lag twice a second."""
    broker, samples = KafkaBroker(KafkaOptions(address, prefix=prefix)), []
    await broker.start()
    host = Host(broker, kinds_of(slow_pool()), PARTITIONS, WallClock(), Serde())
    running = asyncio.create_task(host.run())
    process, until = psutil.Process(), time.monotonic() + seconds
    while time.monotonic() < until and not running.done():
        await asyncio.sleep(0.5)
        handled = sum(task.counts.messages.get("signals", 0) for task in host.tasks.values())
        end = (await broker.ends([PLACE]))[PLACE]
        samples.append({"mib": process.memory_info().rss / 2**20, "handled": handled, "lag": end - handled})
    host.stop.set()
    await running
    await broker.stop()
    return samples


async def run(address: str, prefix: str, seconds: float, signals: int) -> dict[str, Any]:
    """Fill the topic, start the pool as a process of its own, and publish on beside it."""
    broker, serde = KafkaBroker(KafkaOptions(address, prefix=prefix)), Serde()
    await broker.start()
    await create_topology(broker, PARTITIONS, kinds_of(slow_pool()))
    await publish(broker, serde, range(signals), 0)
    command = [sys.executable, "-m", __spec__.name, "consume", address, prefix, str(seconds)]
    pool = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    pause_s = seconds / (signals / BATCH) / 2
    more = asyncio.create_task(publish(broker, serde, range(signals, 2 * signals), pause_s))
    told, _ = await pool.communicate()
    await more
    await broker.stop()
    return shown(json.loads(told))


def shown(samples: list[dict[str, float]]) -> dict[str, Any]:
    """Return the means of the first and last third, without the start-up."""
    working = [each for each in samples if each["handled"] > 0]
    third = len(working) // 3
    parts = {"first_third": working[:third], "last_third": working[-third:]}
    means = {
        name: {key: round(sum(each[key] for each in part) / len(part), 1) for key in ("mib", "lag")}
        for name, part in parts.items()
    }
    peak = max(each["mib"] for each in working)
    return {"samples": len(working), **means, "peak_mib": round(peak, 1), "handled": working[-1]["handled"]}


def main(arguments: list[str]) -> None:
    """Print the figures, or be the consuming process."""
    if arguments[:1] == ["consume"]:
        address, prefix, seconds = arguments[1:]
        print(json.dumps(asyncio.run(consume(address, prefix, float(seconds)))))
        return
    with kafka() as address:
        seconds, signals = [*arguments, *("60", str(SIGNALS))[len(arguments) :]]
        found = asyncio.run(run(address, f"bench-{uuid.uuid4().hex[:8]}.", float(seconds), int(signals)))
    where = {"python": platform.python_version(), "cores": os.cpu_count()}
    print(json.dumps({"benchmark": "slow_consumer", **found, **where}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
