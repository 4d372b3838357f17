"""`make bench`: speed of the parts, one JSON line each; no timed asserts.

python -m tests.performance [NAME ...]; without names all of them. Those on Kafka use FINAGENT_KAFKA_BOOTSTRAP, or start
a local broker.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.services import start_kafka, stop_kafka
from infra.tuning import tune
from streams.broker import Broker
from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.memory_broker import MemoryBroker
from tests.performance import blocks, loop, workflows

Benchmark = Callable[[Broker], Awaitable[dict[str, Any]]]
BENCHMARKS: dict[str, tuple[bool, Benchmark]] = {
    "task_loop_memory": (False, loop.run),
    "task_loop_kafka": (True, loop.run),
    "data_plane_memory": (False, loop.data_plane),
    "data_plane_kafka": (True, loop.data_plane),
    "tick_block_codec": (False, blocks.codec),
    "tick_blocks_memory": (False, blocks.run),
    "tick_blocks_kafka": (True, blocks.run),
    "workflows_memory": (False, workflows.run),
    "workflows_kafka": (True, workflows.run),
}


@contextmanager
def kafka() -> Iterator[str]:
    """Yield the address of a real Kafka."""
    given = os.environ.get("FINAGENT_KAFKA_BOOTSTRAP")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        service = start_kafka(Path(folder) / "kafka")
        try:
            yield service.bootstrap
        finally:
            stop_kafka(Path(folder) / "kafka")


async def measure(name: str, address: str | None) -> None:
    """Run one benchmark and print its line."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    broker: Broker = KafkaBroker(KafkaOptions(address, prefix=prefix)) if address else MemoryBroker()
    await broker.start()
    try:
        figures = await BENCHMARKS[name][1](broker)
    finally:
        await broker.stop()
    where = {"python": platform.python_version(), "cores": os.cpu_count()}
    print(json.dumps({"benchmark": name, **figures, **where}), flush=True)


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all."""
    chosen = names or list(BENCHMARKS)
    unknown = set(chosen) - set(BENCHMARKS)
    if unknown:
        sys.exit(f"unknown benchmark {', '.join(sorted(unknown))}, expected some of {', '.join(BENCHMARKS)}")
    tune()
    for name in chosen:
        if not BENCHMARKS[name][0]:
            asyncio.run(measure(name, None))
    remote = [name for name in chosen if BENCHMARKS[name][0]]
    if remote:
        with kafka() as address:
            for name in remote:
                asyncio.run(measure(name, address))


if __name__ == "__main__":
    main(sys.argv[1:])
