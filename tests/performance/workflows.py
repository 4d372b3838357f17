"""Workflow steps per second and the time from a command to its first step."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from orchestrator.client import Client
from orchestrator.faust_engine import engine_of
from orchestrator.settings import load
from orchestrator.wiring import all_kinds, context_of, control_kind, kinds_of, partitions_of, pool_of
from schemas import ExecuteWorkflow, RunStep, StepSpec
from streams.broker import Broker
from streams.clock import WallClock
from streams.host import Host, create_topology
from streams.kafka_broker import KafkaBroker
from streams.serde import Serde
from streams.tail import tail

SEQUENTIAL, PARALLEL = 100, 100


def _command(name: str, clock: WallClock) -> ExecuteWorkflow:
    step = {"agent_pool": "data_agent_pool", "action": "resolve_instruments", "parameters": {"symbols": ["AAPL"]}}
    steps = [StepSpec(step_id="one", **step), StepSpec(step_id="two", depends_on=("one",), **step)]
    return ExecuteWorkflow(workflow_id=name, ts_event=clock.now(), steps=tuple(steps))


async def run(broker: Broker) -> dict[str, Any]:
    """Two-step workflows; on Kafka the orchestrator is the Faust processor, all in this process."""
    overrides: dict[str, Any] = {"log_level": "WARNING"}
    if isinstance(broker, KafkaBroker):
        overrides["kafka"] = {"bootstrap": broker.options.bootstrap, "prefix": broker.options.prefix}
    settings = load(overrides=overrides, environ={})
    serde, clock, partitions = Serde(), WallClock(), partitions_of(settings)
    pool, context = pool_of("data", settings), context_of(settings)
    await create_topology(broker, partitions, all_kinds([pool], context))
    on_kafka = isinstance(broker, KafkaBroker)
    host = Host(broker, kinds_of(pool) if on_kafka else all_kinds([pool], context), partitions, clock, serde)
    running = [asyncio.create_task(host.run())]
    stop = asyncio.Event()
    if on_kafka:
        running.append(asyncio.create_task(engine_of(settings).run(stop)))
    figures = await _measure(broker, serde, clock)
    host.stop.set()
    stop.set()
    await asyncio.gather(*running)
    return {"engine": "faust" if on_kafka else control_kind(context).name, **figures}


async def _measure(broker: Broker, serde: Serde, clock: WallClock) -> dict[str, Any]:
    async with Client.open(broker, serde, clock) as client, tail(broker, serde, ["steps"]) as steps:
        await client.submit(_command("warm", clock))
        await client.wait("warm", 60)
        latencies = [await _first_step(client, steps, f"s{n}", clock) for n in range(SEQUENTIAL)]
        began = time.perf_counter()
        for number in range(PARALLEL):
            await client.submit(_command(f"p{number}", clock))
        for number in range(PARALLEL):
            await client.wait(f"p{number}", 120)
        wall = time.perf_counter() - began
    cuts = statistics.quantiles(latencies, n=100)
    return {
        "submit_to_first_step_ms_p50": round(cuts[49] * 1000, 1),
        "submit_to_first_step_ms_p99": round(cuts[98] * 1000, 1),
        "workflows": PARALLEL,
        "steps_per_s": round(2 * PARALLEL / wall, 1),
    }


async def _first_step(client: Client, steps: Any, name: str, clock: WallClock) -> float:
    began = time.perf_counter()
    await client.submit(_command(name, clock))
    while not any(isinstance(e.message, RunStep) and e.message.workflow_id == name for e in await steps.poll(1.0)):
        continue
    elapsed = time.perf_counter() - began
    await client.wait(name, 60)
    return elapsed
