"""Memory under a steady load: health, active strategies and metrics are asked for again and again, as a monitor does.

python -m tests.performance.soak [--seconds S] [--rate PER_S] [--every S] [--out FILE]; it uses the Kafka that
FINAGENT_KAFKA_BOOTSTRAP names, or starts one. Memory is flat where no process's mean over the last third of the time is
more than 5 % above that over the middle third; the first third is warm-up. Exit code 1 where it is not.

What is remembered of ended work is bounded by number; the bounds are set low here, so that the warm-up reaches them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from infra.services.kafka_launch import JVM_OPTIONS
from orchestrator.facade import FinAgentOrchestrator
from tests.performance.__main__ import kafka
from tests.performance.system import System, strategy, system

MAX_GROWTH = 0.05
SAMPLE_S = 1.0
REMEMBERED = {"FINAGENT_SERVER__HISTORY": "1000", "FINAGENT_ORCHESTRATOR__MAX_ENDED_WORKFLOWS": "1000"}
PAUSE_S = 60.0
"""Time for the last strategies to end."""


@dataclass
class Seen:
    """What was seen in the course of time."""

    answers: Counter[str] = field(default_factory=Counter)
    health: Counter[str] = field(default_factory=Counter)
    rss: dict[str, list[int]] = field(default_factory=dict)
    """Bytes by process, one value each SAMPLE_S."""
    last: dict[str, Any] = field(default_factory=dict)
    """What the monitor read last."""


async def submit(running: System, rate: float, stop: asyncio.Event, seen: Seen) -> None:
    """Submit strategies at a steady rate."""
    began, number = time.perf_counter(), 0
    async with running.connection() as server:
        while not stop.is_set():
            status, _ = await server.request("POST", "/strategies", strategy(number, "soak"))
            seen.answers[str(status)] += 1
            number += 1
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))


async def monitor(
    running: System, client: FinAgentOrchestrator, every_s: float, stop: asyncio.Event, seen: Seen
) -> None:
    """Ask for health, active strategies and metrics, of the server and of a client in this process."""
    while not stop.is_set():
        status = await client.get_health_status()
        active = await client.get_active_strategies()
        metrics = await client.get_performance_metrics()
        async with running.connection() as server:  # the server closes those that are idle for long
            _, health = await server.request("GET", "/health")
            _, listed = await server.request("GET", "/strategies?limit=100")
            _, page = await server.request("GET", "/metrics")
        seen.health[f"{status['status']}/{health['status']}"] += 1
        seen.last = {
            "reasons": [*status["reasons"], *health["reasons"]],
            "active": len(active),
            "listed": len(listed["items"]),
            "metrics": metrics,
            "metrics_bytes": len(page),
        }
        await asyncio.sleep(every_s)


async def sample(processes: Mapping[str, psutil.Process], stop: asyncio.Event, seen: Seen) -> None:
    """Note the memory of each process."""
    while not stop.is_set():
        for name, process in processes.items():
            seen.rss.setdefault(name, []).append(process.memory_info().rss)
        await asyncio.sleep(SAMPLE_S)


def growth(samples: Sequence[int]) -> float:
    """Return by which share the mean of the last third is above that of the middle third."""
    third = len(samples) // 3
    middle, last = statistics.fmean(samples[third : 2 * third]), statistics.fmean(samples[2 * third :])
    return last / middle - 1


async def run(bootstrap: str, seconds: float, rate: float, every_s: float, folder: Path) -> dict[str, Any]:
    """Soak a system of its own and return what was seen."""
    seen, stop = Seen(), asyncio.Event()
    async with system(bootstrap, f"soak-{uuid.uuid4().hex[:8]}.", folder, REMEMBERED) as running:
        client = FinAgentOrchestrator(settings=running.settings)
        await client.initialize()
        try:
            processes = {**running.processes(), "client": psutil.Process()}
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(submit(running, rate, stop, seen))
                tasks.create_task(monitor(running, client, every_s, stop, seen))
                tasks.create_task(sample(processes, stop, seen))
                await asyncio.sleep(seconds)
                stop.set()
            async with asyncio.timeout(PAUSE_S):
                await client.client.until(lambda: client.client.in_flight == 0, "the last strategies", PAUSE_S)
        finally:
            await client.shutdown()
    grown = {name: growth(samples) for name, samples in seen.rss.items()}
    return {
        "seconds": seconds,
        "rate": rate,
        "monitored_every_s": every_s,
        "answers": dict(seen.answers),
        "health": dict(seen.health),
        "last": seen.last,
        "rss_mib": {
            name: [_mib(samples[0]), _mib(max(samples)), _mib(samples[-1])] for name, samples in seen.rss.items()
        },
        "growth": {name: round(value, 4) for name, value in grown.items()},
        "not_flat": [name for name, value in grown.items() if value > MAX_GROWTH],
        "load_average": round(os.getloadavg()[0], 1),
    }


def _first(samples: Sequence[int]) -> int:
    return samples[0]


def _last(samples: Sequence[int]) -> int:
    return samples[-1]


def _mib(size: int) -> float:
    return round(size / 2**20, 1)


def main() -> None:
    """Soak and say whether memory stayed flat."""
    parser = argparse.ArgumentParser(description="Watch the memory of a real system under a steady load.")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--rate", type=float, default=10.0, help="strategies a second")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks of the monitor")
    parser.add_argument("--out", type=Path, help="write the JSON there too")
    asked = parser.parse_args()
    os.environ.setdefault(JVM_OPTIONS, "-XX:+UseSerialGC")  # both compilers: it runs for a while
    with kafka() as bootstrap, tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(run(bootstrap, asked.seconds, asked.rate, asked.every, Path(folder)))
    for name, (first, most, last) in result["rss_mib"].items():
        grown = f"{result['growth'][name]:+.1%}"
        print(f"{name:18} {first:7} MiB at first, at most {most:7}, {last:7} at last; {grown}", file=sys.stderr)
    print(f"not flat: {', '.join(result['not_flat'])}" if result["not_flat"] else "memory is flat", file=sys.stderr)
    print(json.dumps(result))
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(bool(result["not_flat"]))


if __name__ == "__main__":
    main()
