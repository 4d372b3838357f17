"""Trainings over a broker: tiny environments and nets, actors and a learner, killed and read back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rl.actor import Actor
from rl.collector import Collector
from rl.config import RLConfiguration
from rl.learner import Learner
from rl.learner_state import Plan
from rl.rows import Float32
from rl.streaming import ACTOR, Streaming, create_topics
from schemas import Message, PolicyPublished, TransitionsRecorded
from streams.broker import Broker
from streams.clock import WallClock
from streams.ids import derive_id
from streams.reading import read_whole
from streams.record import Envelope, Received, Record, TopicPartition
from streams.serde import Serde
from streams.topics import POLICIES, TRANSITIONS, dead_letters
from tests.unit.rl.lqr import VectorLQR

SERDE = Serde()
PARTITIONS = 4
SMALL = {"net_arch": (8,), "batch_size": 16, "num_envs": 2, "learning_starts": 40, "buffer_size": 150, "seed": 3}
LAYOUT = Collector(VectorLQR(1), 0).layout
LOW, HIGH = -1.5 * np.ones(2, np.float32), 1.5 * np.ones(2, np.float32)
LOCK_STEP = Streaming(chunk_transitions=20, chunks_ahead=0, publish_every=10, checkpoint_every_s=1e6)


def plan(training_id: str = "t", streaming: Streaming = LOCK_STEP, **more: Any) -> Plan:
    """Return the plan of a tiny TD3 training, or of what config says."""
    config = RLConfiguration(**{**SMALL, **more.pop("config", {})})
    return Plan(training_id, config, LAYOUT, LOW, HIGH, streaming=streaming, **more)


@dataclass
class World:
    """A broker with the topics, and where checkpoints go."""

    broker: Broker
    folder: Path
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def learner(self, planned: Plan, *, broker: Broker | None = None, **more: Any) -> Learner:
        """Return a learner."""
        return Learner(broker or self.broker, planned, self.folder / planned.training_id, WallClock(), SERDE, **more)

    def actor(self, planned: Plan, actor_id: str = "a", **more: Any) -> Actor:
        """Return an actor."""
        return Actor(
            self.broker,
            planned.training_id,
            actor_id,
            planned.config,
            lambda seed: VectorLQR(planned.config.num_envs),
            planned.streaming,
            WallClock(),
            SERDE,
            **more,
        )

    @asynccontextmanager
    async def acting(self, planned: Plan, *names: str) -> AsyncIterator[list[Actor]]:
        """Run actors for the length of the block."""
        stop, actors = asyncio.Event(), [self.actor(planned, name) for name in names]
        running = [asyncio.create_task(actor.run(stop)) for actor in actors]
        try:
            yield actors
        finally:
            stop.set()
            await asyncio.gather(*running)

    async def trained(self, planned: Plan, *names: str, **more: Any) -> Learner:
        """Return a learner that has learned to the plan's end, with these actors."""
        learner = self.learner(planned, **more)
        async with self.acting(planned, *names):
            await learner.run(asyncio.Event())
        return learner

    async def messages(self, topic: str) -> list[Message]:
        """Return what a topic holds, partition by partition."""
        return [SERDE.decode(record.value) for record in await self.records(topic)]

    async def records(self, topic: str) -> list[Received]:
        """Return the records of a topic, partition by partition."""
        count = (await self.broker.topics())[topic]
        places = [TopicPartition(topic, partition) for partition in range(count)]
        found = [record async for record in read_whole(self.broker, places)]
        return sorted(found, key=lambda record: (record.partition, record.offset))

    async def policies(self) -> list[PolicyPublished]:
        """Return the policies on the log."""
        return [each for each in await self.messages(POLICIES.name) if isinstance(each, PolicyPublished)]

    async def chunks(self) -> list[TransitionsRecorded]:
        """Return the chunks on the log."""
        return [each for each in await self.messages(TRANSITIONS.name) if isinstance(each, TransitionsRecorded)]

    async def letters(self) -> list[str]:
        """Return the reasons of the dead letters."""
        found = await self.records(dead_letters(TRANSITIONS.name))
        return [dict(record.headers)["dlq_reason"].decode() for record in found]


@asynccontextmanager
async def world(broker: Broker, folder: Path) -> AsyncIterator[World]:
    """Make the topics."""
    await create_topics(broker, PARTITIONS)
    yield World(broker, folder)


def rows(count: int, first: float = 0.0, environments: int = 2) -> Float32:
    """Return rows that differ: shape (count / environments, environments, width)."""
    made = np.zeros((count, LAYOUT.width), np.float32)
    made[:, LAYOUT.observation] = (first + np.arange(count))[:, None] / 1000
    made[:, LAYOUT.next_observation] = made[:, LAYOUT.observation] + 0.001
    made[:, LAYOUT.reward] = np.cos(first + np.arange(count))
    return made.reshape(-1, environments, LAYOUT.width)


def chunk(
    sequence: int, *, actor_id: str = "a", epoch: int = 1, first: float = 0.0, **more: Any
) -> TransitionsRecorded:
    """Return a chunk of 20 transitions, as an actor would make it."""
    given = rows(20, first) if "rows" not in more else more.pop("rows")
    said = {
        "training_id": "t",
        "actor_id": actor_id,
        "epoch": epoch,
        "sequence": sequence,
        "policy_version": 0,
        "environments": given.shape[1] if isinstance(given, np.ndarray) else 2,
        "observation_size": LAYOUT.observation_size,
        "action_size": LAYOUT.action_size,
        "rows": given.tobytes() if isinstance(given, np.ndarray) else given,
        "ts_event": 1_600_000_000_000_000_000,
    }
    return TransitionsRecorded(**{**said, **more})


def record(message: TransitionsRecorded, **more: Any) -> Record:
    """Return the record of a chunk; more: what of the record is otherwise."""
    cause = message.training_id
    message_id = derive_id(cause, ACTOR, message.actor_id, message.epoch, message.sequence)
    envelope = Envelope(message_id, "TransitionsRecorded", ACTOR, message.ts_event, cause, cause)
    made = Record(
        TRANSITIONS.name, message.actor_id, SERDE.encode(message), envelope.headers(), None, 1_600_000_000_000
    )
    return replace(made, **more)


async def until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Wait for a condition that other tasks bring about."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
