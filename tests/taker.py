"""A pool that takes whatever its topics carry, and remembers in its state what it took: on any broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from pydantic import Field

from agents.processing import ArrivalInbox
from schemas import Message, SliceClosed
from streams.broker import MAX_LETTER_BYTES, Broker, TopicConfig
from streams.clock import ManualClock
from streams.dead_letters import Letter
from streams.errors import HandlerError
from streams.letters import Wanted, letters
from streams.outputs import Output, Outputs
from streams.record import Envelope, Record, TopicPartition
from streams.serde import Serde
from streams.slices import Work
from streams.state import State
from streams.task import Task
from streams.topics import changelog, dead_letters, key_of, topic
from tests.unit.schemas.example_messages import example

NOW = time.time_ns() // 1_000_000 * 1_000_000
"""Kafka's retention takes records that are stamped with a time long past."""
Led = Callable[[Message], Sequence[Output]]


class Taken(State):
    """What was taken."""

    counts: dict[str, int] = Field(default_factory=dict)
    """Records by topic."""
    digest: int = 0
    """Sum of the hashes of their message ids, whatever their order."""


class Taker:
    """Takes every record of its topics; what leads makes of a message goes out, and may raise."""

    broadcast: tuple[str, ...] = ()

    def __init__(self, owned: Sequence[str], leads: Led = lambda message: (), pool: str = "taker") -> None:
        self.owned = tuple(owned)
        self.pool = pool
        self._leads = leads

    def inbox(self, task: Task) -> ArrivalInbox:
        return ArrivalInbox()

    def due(self, task: Task) -> Sequence[Output]:
        return ()

    async def process(self, work: Work, task: Task) -> Outputs:
        taken, outputs = task.states.get(Taken, "all"), list[Output]()
        for event in work.events:
            record = event.record
            try:
                outputs += self._leads(event.message)
            except ArithmeticError as error:
                poison = ("record", record.topic, record.partition, record.offset)
                raise HandlerError(f"{error} at {record.place}", topic=record.topic, poison=poison) from error
            taken.counts[record.topic] = taken.counts.get(record.topic, 0) + 1
            taken.digest = (taken.digest + digest_of(event.envelope.message_id)) % 2**62
        return Outputs(outputs)


def digest_of(message_id: str) -> int:
    """Return a number of a message id."""
    return int.from_bytes(message_id.encode()[-7:].rjust(7), "big") * 31 + len(message_id)


async def make_topics(broker: Broker, names: Sequence[str], pools: Sequence[str] = ("taker",), count: int = 1) -> None:
    """Make topics, their dead letters and the pools' changelogs."""
    wanted = {name: TopicConfig(count) for name in names}
    wanted |= {dead_letters(name): TopicConfig(count, max_bytes=MAX_LETTER_BYTES) for name in names}
    wanted |= {changelog(pool): TopicConfig(count, compacted=True) for pool in pools}
    await broker.create_topics(wanted)


def task_of(broker: Broker, processor: Taker, serde: Serde, *, partition: int = 0, count: int = 1) -> Task:
    """Return a task of a pool."""
    families: Mapping[str, int] = dict.fromkeys(("instrument", "account", "workflow"), count)
    return Task(broker, processor, partition, families, ManualClock(NOW), serde, poll_s=0.05)


async def run_through(broker: Broker, *tasks: Task, timeout_s: float = 60) -> None:
    """Run tasks until they have committed all that their topics held at the call."""
    for task in tasks:
        places = [TopicPartition(name, task.partition) for name in task.processor.owned]
        ends = await broker.ends(places)

        def check(done: Task, ends: Mapping[TopicPartition, int] = ends) -> None:
            reached = done.positions()
            if all(reached.get(place, 0) >= end for place, end in ends.items()):
                done.stop.set()

        task.on_commit = check
    async with asyncio.timeout(timeout_s):
        await asyncio.gather(*(task.run() for task in tasks))
        # Kafka shows a committed transaction a moment later; taking the id over waits until it has.
        for task in tasks:
            async with broker.transactions(task.id):
                pass


def taken(task: Task) -> dict[str, int]:
    """Return how many records of each topic a task's pool has taken."""
    return dict(task.states.get(Taken, "all").counts)


@cache
def serde() -> Serde:
    """Return the serde of all sound records."""
    return Serde()


def record_of(name: str, message: Message, message_id: str) -> Record:
    """Return a sound record of a message."""
    headers = Envelope(message_id, type(message).__name__, "test", NOW, "run-1", "cause").headers()
    key = str(message.partition) if isinstance(message, SliceClosed) else "S1.XNAS"
    if hasattr(message, topic(name).key):
        key = key_of(name, message)
    return Record(name, key, serde().encode(message), tuple(headers), timestamp_ms=NOW // 1_000_000)


def signal(score: float = 0.5, account_id: str = "acc") -> Message:
    """Return a signal."""
    return made(topic("signals").types[0], score=score, account_id=account_id)


def made(kind: type[Message], **fields: object) -> Message:
    """Return a sound message with these fields."""
    return kind.model_validate(example(kind).model_copy(update=fields))


async def letters_on(broker: Broker, name: str | None = None) -> list[Letter]:
    """Return the dead letters of a topic, or of all, in their order."""
    return [letter async for letter in letters(broker, Wanted(name))]
