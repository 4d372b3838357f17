"""Event-driven training: ingest, rebuilding a buffer, and how soon actors use a policy; on memory and on Kafka.

python -m tests.performance.rl_events [memory|kafka]; Kafka is the one of FINAGENT_KAFKA_BOOTSTRAP.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infra.tuning import tune
from rl.actor import Actor
from rl.config import RLConfiguration
from rl.learner import Learner
from rl.learner_state import LearnerState, Plan
from rl.learning import OffPolicyLearning
from rl.rebuild import rebuild
from rl.rows import Layout
from rl.streaming import Streaming, create_topics
from rl.training import Progress
from schemas import TransitionsRecorded
from streams.broker import Broker
from streams.clock import WallClock
from streams.ids import derive_id
from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.memory_broker import MemoryBroker
from streams.record import Envelope, Record
from streams.serde import Serde
from streams.topics import TRANSITIONS
from tests.performance.__main__ import kafka
from tests.unit.rl.lqr import VectorLQR

ACTORS, PARTITIONS, CHUNK = 4, 4, 1_000
SERDE = Serde()


@dataclass(frozen=True)
class Shape:
    """The rows of a benchmark."""

    observation_size: int
    action_size: int

    @property
    def layout(self) -> Layout:
        """Return their layout."""
        return Layout(self.observation_size, self.action_size)


SMALL, TRADING = Shape(24, 3), Shape(80, 10)
"""Rows of 56 and of 173 numbers: a locomotion task, and ten instruments with seven features each."""


def planned(shape: Shape, transitions: int, **more: Any) -> Plan:
    """Return the plan of a learner that learns nothing before it has all transitions."""
    config = RLConfiguration(buffer_size=transitions, learning_starts=10 * transitions, net_arch=(16,))
    bound = np.ones(shape.action_size, np.float32)
    streaming = Streaming(checkpoint_every_s=1e6)
    return Plan("bench", config, shape.layout, -bound, bound, steps=transitions, streaming=streaming, **more)


def chunks(shape: Shape, actor: int, count: int) -> list[Record]:
    """Return records of an actor's chunks, of as many transitions as a record may hold, at most CHUNK."""
    layout = shape.layout
    rng = np.random.default_rng(actor)
    per = min(CHUNK, 500_000 // (4 * layout.width))
    rows = rng.standard_normal((per, layout.width), np.float32)
    rows[:, layout.terminated :] = 0
    return [_record(shape, f"actor-{actor}", n, rows.tobytes()) for n in range(count // per)]


def _record(shape: Shape, actor_id: str, sequence: int, rows: bytes) -> Record:
    message = TransitionsRecorded(
        training_id="bench",
        actor_id=actor_id,
        epoch=0,
        sequence=sequence,
        policy_version=0,
        environments=1,
        observation_size=shape.observation_size,
        action_size=shape.action_size,
        rows=rows,
        ts_event=time.time_ns(),
    )
    envelope = Envelope(
        derive_id("bench", actor_id, sequence), "TransitionsRecorded", "rl.actor", message.ts_event, "bench", "bench"
    )
    return Record(TRANSITIONS.name, actor_id, SERDE.encode(message), envelope.headers())


async def _produce(broker: Broker, shape: Shape, actor: int, transitions: int) -> int:
    """Publish an actor's chunks as actors do, one fenced transaction each; return the transitions."""
    records = chunks(shape, actor, transitions)
    async with broker.transactions(f"bench/{actor}") as transactions:
        for record in records:
            await transactions.commit([record])
    per = min(CHUNK, 500_000 // (4 * shape.layout.width))
    return per * len(records)


async def ingest(broker: Broker, shape: Shape, transitions: int) -> dict[str, float]:
    """Return transitions per second from producers through the broker into the buffer, and per second when read again.

    Producing, consuming and inserting go on at the same time, in one process.
    """
    await create_topics(broker, PARTITIONS)
    with tempfile.TemporaryDirectory() as folder:
        per = min(CHUNK, 500_000 // (4 * shape.layout.width))
        share = transitions // ACTORS // per * per
        plan = planned(shape, share * ACTORS)
        learner = Learner(broker, plan, Path(folder), WallClock(), SERDE)
        began = time.perf_counter()
        producing = [asyncio.create_task(_produce(broker, shape, actor, share)) for actor in range(ACTORS)]
        await learner.run(asyncio.Event())
        took = time.perf_counter() - began
        await asyncio.gather(*producing)
        again = LearnerState(plan, learner.make(plan.config, plan.layout, plan.low, plan.high))
        again.segments = learner.state.segments
        began = time.perf_counter()
        await rebuild(again, plan.steps, broker, SERDE)
        rebuilt = time.perf_counter() - began
        first, second = learner.state.learning, again.learning
        assert isinstance(first, OffPolicyLearning)
        assert isinstance(second, OffPolicyLearning)
        assert first.replay.digest() == second.replay.digest()
    return {
        "transitions": plan.steps,
        "bytes_per_transition": 4 * shape.layout.width,
        "ingested_per_s": round(plan.steps / took),
        "rebuilt_s": round(rebuilt, 2),
        "rebuilt_per_s": round(plan.steps / rebuilt),
    }


LATENCY = RLConfiguration(algorithm="TD3", num_envs=8, learning_starts=100, update_to_data=0.02, batch_size=64)
PACE = Streaming(chunk_transitions=400, chunks_ahead=8, publish_every=2, checkpoint_every_s=1e6)


async def latency(broker: Broker, versions: int = 200) -> dict[str, float]:
    """Return ms from a policy's publication being acknowledged to the first action by it, over so many versions.

    On Kafka the actor is a process of its own, as it is in use; in memory it shares the learner's.
    """
    await create_topics(broker, PARTITIONS)
    bound = 1.5 * np.ones(2, np.float32)
    plan = Plan("latency", LATENCY, Layout(2, 2), -bound, bound, steps=10**9, streaming=PACE)
    stop, said, used = asyncio.Event(), dict[int, float](), dict[int, float]()
    with tempfile.TemporaryDirectory() as folder:
        learner = Learner(broker, plan, Path(folder), WallClock(), SERDE)

        def told(progress: Progress) -> None:
            said.setdefault(learner.state.version, time.perf_counter())
            if len(used) > versions:
                stop.set()

        learner.on_progress = told
        acting = asyncio.create_task(_act_aside(broker, used, stop))
        await learner.run(stop)
        await acting
    taken = sorted(1000 * max(used[version] - said[version], 0.0) for version in used if version in said)
    return {
        "policies": len(taken),
        "p50_ms": round(statistics.median(taken), 1),
        "p99_ms": round(taken[int(0.99 * (len(taken) - 1))], 1),
    }


async def _act_aside(broker: Broker, used: dict[int, float], stop: asyncio.Event) -> None:
    """Act until stop is set, noting when each version was first acted by, by the machine's monotonic clock."""
    if not isinstance(broker, KafkaBroker):
        return await _act(broker, lambda version: used.update({version: time.perf_counter()}), stop)
    options = broker.options
    command = [sys.executable, "-m", "tests.performance.rl_events", "actor", options.bootstrap, options.prefix]
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    async for line in child.stdout:
        version, at = line.split()
        used[int(version)] = float(at)
        if stop.is_set():
            break
    child.kill()
    await child.wait()


async def _act(broker: Broker, swapped: Callable[[int], None], stop: asyncio.Event) -> None:
    clock = WallClock()
    actor = Actor(broker, "latency", "a", LATENCY, lambda seed: VectorLQR(8), PACE, clock, SERDE, on_swap=swapped)
    await actor.run(stop)


async def _actor(bootstrap: str, prefix: str) -> None:
    """Act on Kafka until killed, telling in a line when each version was first acted by."""
    broker = KafkaBroker(KafkaOptions(bootstrap, prefix=prefix))
    await broker.start()
    await _act(broker, lambda version: print(version, time.perf_counter(), flush=True), asyncio.Event())


async def run(broker: Broker, transitions: int = 1_000_000) -> dict[str, float]:
    """Return the figures of both, by name."""
    figures = {f"ingest_{name}": value for name, value in (await ingest(broker, SMALL, transitions)).items()}
    return {**figures, **{f"policy_{name}": value for name, value in (await latency(broker)).items()}}


async def run_trading(broker: Broker, transitions: int = 200_000) -> dict[str, float]:
    """Return the figures of ingest with rows as a trading environment makes them."""
    return {f"ingest_{name}": value for name, value in (await ingest(broker, TRADING, transitions)).items()}


async def _measure(address: str | None) -> None:
    for work in (run, run_trading):
        prefix = f"bench-{uuid.uuid4().hex[:8]}."
        broker: Broker = KafkaBroker(KafkaOptions(address, prefix=prefix)) if address else MemoryBroker()
        await broker.start()
        try:
            figures = await work(broker)
        finally:
            await broker.stop()
        where = {"broker": "kafka" if address else "memory", "cores": os.cpu_count(), "load": os.getloadavg()[0]}
        print(json.dumps({"benchmark": f"rl_events.{work.__name__}", **figures, **where}), flush=True)


def main(kinds: list[str]) -> None:
    """Measure on the named brokers, or on both."""
    tune()
    if kinds[:1] == ["actor"]:
        return asyncio.run(_actor(*kinds[1:]))
    if not kinds or "memory" in kinds:
        asyncio.run(_measure(None))
    if not kinds or "kafka" in kinds:
        with kafka() as address:
            asyncio.run(_measure(address))


if __name__ == "__main__":
    main(sys.argv[1:])
