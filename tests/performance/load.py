"""`make load`: strategies by the hundred a second at the real server, and what the log says became of them.

python -m tests.performance.load [--rate PER_S] [--seconds S] [--out FILE]; it uses the Kafka that
FINAGENT_KAFKA_BOOTSTRAP names, or starts one. Exit code 1 where a promise is not kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.services.kafka_launch import JVM_OPTIONS
from orchestrator.wiring import broker_of
from schemas import Workflow
from streams.broker import Broker
from streams.errors import DecodeError
from streams.record import Received, TopicPartition
from streams.serde import Serde
from streams.topics import WORKFLOWS
from tests.performance.__main__ import kafka
from tests.performance.system import System, strategy, system

CONNECTIONS = 64
"""At most; the server closes those that are idle for some seconds."""
SETTLE_S = 60.0
"""Time for what was accepted to end, after the last submission."""
MIN_ACCEPTED_PER_S = 50.0
MIN_COMPLETED = 0.95


@dataclass
class Submitted:
    """What the server said."""

    statuses: Counter[str] = field(default_factory=Counter)
    answered_s: list[float] = field(default_factory=list)
    """Time to each answer, seconds."""
    accepted: dict[str, int] = field(default_factory=dict)
    """When each accepted workflow was asked for, ms since 1970, by workflow_id."""


@dataclass
class Ends:
    """What the log says."""

    records: list[Received] = field(default_factory=list)
    ended: dict[str, Received] = field(default_factory=dict)
    """First terminal state by workflow_id."""
    statuses: dict[str, set[str]] = field(default_factory=dict)
    """Every terminal status by workflow_id, and running where that came after one."""
    without_reason: list[str] = field(default_factory=list)

    def learn(self, record: Received, serde: Serde) -> None:
        """Take a record of `workflows` in."""
        try:
            workflow = serde.decode(record.value)
        except DecodeError:
            return  # the tombstone of a forgotten one
        assert isinstance(workflow, Workflow)
        if workflow.status == "running" and workflow.workflow_id not in self.ended:
            return
        self.ended.setdefault(workflow.workflow_id, record)
        self.statuses.setdefault(workflow.workflow_id, set()).add(workflow.status)
        if workflow.status != "completed" and not workflow.error:
            self.without_reason.append(workflow.workflow_id)


async def submit(running: System, rate: float, seconds: float) -> Submitted:
    """Offer strategies at a steady rate, whether earlier ones were answered or not."""
    said, due = Submitted(), asyncio.Queue[int | None]()
    total, connections = int(rate * seconds), max(1, min(CONNECTIONS, int(rate)))

    async def caller() -> None:
        async with running.connection() as server:
            while (number := await due.get()) is not None:
                began, at = time.perf_counter(), time.time_ns() // 1_000_000
                status, answer = await server.request("POST", "/strategies", strategy(number))
                said.answered_s.append(time.perf_counter() - began)
                said.statuses[str(status)] += 1
                if status == 202:
                    said.accepted[answer["workflow_id"]] = at

    async with asyncio.TaskGroup() as callers:
        for _ in range(connections):
            callers.create_task(caller())
        began, offered = time.perf_counter(), 0
        while offered < total:
            until = min(total, int((time.perf_counter() - began) * rate) + 1)
            for number in range(offered, until):
                due.put_nowait(number)
            offered = until
            await asyncio.sleep(0.005)
        for _ in range(connections):
            due.put_nowait(None)
    return said


async def follow(broker: Broker, start: Mapping[TopicPartition, int], ends: Ends, stop: asyncio.Event) -> None:
    """Read the log as it grows; what it says is looked at afterwards."""
    async with broker.reader(start) as reader:
        while not stop.is_set():
            ends.records += await reader.poll(0.5)


async def settled(said: Submitted, ends: Ends, serde: Serde) -> None:
    """Read on until all that was accepted has ended, or time is up."""
    deadline, seen = time.perf_counter() + SETTLE_S, 0
    while time.perf_counter() < deadline and not said.accepted.keys() <= ends.ended.keys():
        await asyncio.sleep(0.2)
        for record in ends.records[seen:]:
            ends.learn(record, serde)
            seen += 1


def quantiles(values: Iterable[float]) -> dict[str, float]:
    """Return the median and the 99th percentile."""
    ordered = sorted(values) or [float("nan")]
    return {"p50": round(statistics.median(ordered), 3), "p99": round(ordered[int(len(ordered) * 0.99)], 3)}


def result_of(said: Submitted, ends: Ends, seconds: float) -> dict[str, Any]:
    """Return the figures and the promises that were not kept."""
    lost = [name for name in said.accepted if name not in ends.ended]
    twice = [name for name in said.accepted if len(ends.statuses.get(name, ())) > 1]
    outcomes = Counter(status for name in said.accepted for status in ends.statuses.get(name, ()))
    latency = [(ends.ended[name].timestamp_ms - at) / 1000 for name, at in said.accepted.items() if name in ends.ended]
    accepted = len(said.accepted)
    broken = {
        f"{accepted / seconds:.1f}/s accepted, promised {MIN_ACCEPTED_PER_S:g}": accepted / seconds
        < MIN_ACCEPTED_PER_S,
        f"{outcomes['completed']} of {accepted} completed, promised {MIN_COMPLETED:.0%}": outcomes["completed"]
        < MIN_COMPLETED * accepted,
        f"lost: {lost[:5]}": bool(lost),
        f"ended in more than one way, or went on: {twice[:5]}": bool(twice),
        f"ended without a reason: {ends.without_reason[:5]}": bool(ends.without_reason),
        f"answers besides 202 and 429: {dict(said.statuses)}": bool(said.statuses.keys() - {"202", "429"}),
    }
    return {
        "submitted": sum(said.statuses.values()),
        "accepted": accepted,
        "accepted_per_s": round(accepted / seconds, 1),
        "answers": dict(said.statuses),
        "outcomes": dict(outcomes),
        "lost": len(lost),
        "ended_twice": len(twice),
        "workflow_s": quantiles(latency),
        "answer_s": quantiles(said.answered_s),
        "broken": [what for what, is_broken in broken.items() if is_broken],
    }


async def run(
    bootstrap: str, rate: float, seconds: float, folder: Path, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Load a system of its own and return what came of it; environment: more settings of its processes."""
    serde = Serde()
    async with system(bootstrap, f"load-{uuid.uuid4().hex[:8]}.", folder, environment) as running:
        broker = broker_of(running.settings)
        await broker.start()
        places = [TopicPartition(WORKFLOWS.name, p) for p in range((await broker.topics())[WORKFLOWS.name])]
        ends, stop = Ends(), asyncio.Event()
        following = asyncio.create_task(follow(broker, await broker.ends(places), ends, stop))
        before = {name: sum(process.cpu_times()[:2]) for name, process in running.processes().items()}
        began = time.perf_counter()
        said = await submit(running, rate, seconds)
        offered_s = time.perf_counter() - began
        await settled(said, ends, serde)
        processes = running.processes().items()
        used = {name: sum(process.cpu_times()[:2]) - before[name] for name, process in processes}
        memory = {name: process.memory_info().rss >> 20 for name, process in processes}
        stop.set()
        await following
        await broker.stop()
    done = max(len(said.accepted), 1)
    return {
        "rate": rate,
        "seconds": round(offered_s, 1),
        **result_of(said, ends, max(offered_s, seconds)),
        "cpu_ms_per_accepted": {name: round(value * 1000 / done, 1) for name, value in used.items()},
        "rss_mib": memory,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
    }


def summary(result: Mapping[str, Any]) -> str:
    """Return the figures for people."""
    lines = [
        f"submitted {result['submitted']} in {result['seconds']} s, accepted {result['accepted']} "
        f"({result['accepted_per_s']}/s), answers {result['answers']}",
        f"ended: {result['outcomes']}, lost {result['lost']}, more than once {result['ended_twice']}",
        f"submission to end of the workflow: p50 {result['workflow_s']['p50']} s, p99 {result['workflow_s']['p99']} s",
        f"answer to a submission: p50 {result['answer_s']['p50']} s, p99 {result['answer_s']['p99']} s",
        *(f"NOT KEPT: {what}" for what in result["broken"]),
    ]
    return "\n".join(lines if result["broken"] else [*lines, "every promise kept"])


def main() -> None:
    """Run the load and say whether the promises were kept."""
    parser = argparse.ArgumentParser(description="Submit strategies at a steady rate to a real system.")
    parser.add_argument("--rate", type=float, default=200.0, help="submissions a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path, help="write the JSON there too")
    asked = parser.parse_args()
    os.environ.setdefault(JVM_OPTIONS, "-XX:+UseSerialGC")  # both compilers: it runs for a while
    with kafka() as bootstrap, tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(run(bootstrap, asked.rate, asked.seconds, Path(folder)))
    print(summary(result), file=sys.stderr)
    print(json.dumps(result))
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(bool(result["broken"]))


if __name__ == "__main__":
    main()
