"""Run a flood of malformed records through tasks, and hold each of them to what must become of it."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import psutil
from aiokafka import AIOKafkaProducer

from streams.broker import Broker, Reader
from streams.dead_letters import Letter
from streams.errors import RecordTooLarge
from streams.kafka_broker import KafkaBroker
from streams.memory_broker import MemoryBroker
from streams.record import Received, Record, TopicPartition
from streams.serde import Serde
from streams.task import Task
from streams.topics import changelog, dead_letters
from tests.malformed import NAMES, PARTITIONS, expected, flood
from tests.taker import Taken, Taker, digest_of, make_topics, task_of

CHUNK = 5_000
PATIENCE_S = 120.0
Place = tuple[str, int, int]


@dataclass
class Seen:
    """What became of a flood."""

    kinds: Counter[str] = field(default_factory=Counter)
    """Dead letters by kind."""
    handled: int = 0
    digest: int = 0
    refused_at_the_edge: int = 0
    """Oversized records that the broker in memory does not take in."""
    seconds: float = 0.0
    """From the publishing of records to the commit of what became of them."""
    rss_mb: list[float] = field(default_factory=list)
    """After each chunk."""


@dataclass
class _Running:
    tasks: Sequence[Task]
    committed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by each commit."""


async def run(broker: Broker, count: int, seed: int) -> Seen:
    """Publish a flood chunk by chunk; raise AssertionError at the first record that met with anything unexpected."""
    await make_topics(broker, NAMES, count=PARTITIONS)
    records, seen = flood(seed, count), Seen()
    inputs = [TopicPartition(name, number) for name in NAMES for number in range(PARTITIONS)]
    outs = [TopicPartition(dead_letters(place.topic), place.partition) for place in inputs]
    async with broker.reader(dict.fromkeys(outs, 0)) as reader, _running(broker) as running, _writer(broker) as write:
        while chunk := list(itertools.islice(records, CHUNK)):
            kinds = [expected(record) for record in chunk]
            began = time.perf_counter()
            placed = await write(chunk)
            await _settled(broker, running, inputs)
            seen.seconds += time.perf_counter() - began
            wanted: dict[Place, tuple[Record, str]] = {}
            for record, kind, offset in zip(chunk, kinds, placed, strict=True):
                if offset is None:
                    assert kind == "oversized"
                    seen.refused_at_the_edge += 1
                elif kind:
                    wanted[record.topic, record.partition or 0, offset] = record, kind
                else:
                    seen.handled += 1
                    seen.digest = (seen.digest + digest_of(dict(record.headers)["ce_id"].decode())) % 2**62
            await _compared(reader, wanted, seen)
            _forgotten(broker)
            gc.collect()
            seen.rss_mb.append(psutil.Process().memory_info().rss / 1e6)
        states = [task.states.get(Taken, "all") for task in running.tasks]
    assert sum(sum(state.counts.values()) for state in states) == seen.handled, "sound records were lost or repeated"
    assert sum(state.digest for state in states) % 2**62 == seen.digest, "others than the sound records were handled"
    assert all(task.counts.starts == 1 for task in running.tasks), "a task had to start again"
    return seen


async def _compared(reader: Reader, wanted: dict[Place, tuple[Record, str]], seen: Seen) -> None:
    """Take the letters of a chunk and hold each against its record."""
    async with asyncio.timeout(PATIENCE_S):
        while wanted:
            for each in await reader.poll(0.2):
                letter = Letter(each)
                original = letter.original
                record, kind = wanted.pop((original.topic, original.partition, original.offset))
                what = f"{letter.place}, refused as {letter.kind} for {letter.reason}"
                assert letter.kind == kind, f"{what}, expected {kind or 'to be handled'}: {record}"
                assert letter.reason, what
                assert (original.value, original.key, original.odd_key) == (record.value, record.key, record.odd_key)
                assert tuple(original.headers) == tuple(record.headers), what
                seen.kinds[kind] += 1
    assert not await reader.poll(0), "a record has two letters"


async def _settled(broker: Broker, running: _Running, inputs: Sequence[TopicPartition]) -> None:
    ends = await broker.ends(inputs)

    def reached() -> bool:
        own = [(task, place) for task in running.tasks for place in inputs if place.partition == task.partition]
        return all(task.positions().get(place, -1) >= ends[place] for task, place in own)

    async with asyncio.timeout(PATIENCE_S):
        while not reached():
            running.committed.clear()
            await running.committed.wait()


@asynccontextmanager
async def _running(broker: Broker) -> AsyncIterator[_Running]:
    """Run a task for each partition; what one raises is raised where it is stopped."""
    tasks = [task_of(broker, Taker(NAMES), Serde(), partition=number, count=PARTITIONS) for number in range(PARTITIONS)]
    running = _Running(tasks)
    async with asyncio.TaskGroup() as group:
        for task in tasks:
            task.on_commit = lambda _: running.committed.set()
            group.create_task(task.run())
        yield running
        for task in tasks:
            task.stop.set()


@asynccontextmanager
async def _writer(broker: Broker) -> AsyncIterator[Any]:
    """Yield what writes records as a foreign client would: with no check of its own."""
    if isinstance(broker, MemoryBroker):
        yield lambda records: _into_memory(broker, records)
        return
    assert isinstance(broker, KafkaBroker)
    bootstrap, prefix = broker.options.bootstrap, broker.options.prefix
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=2_000_000, linger_ms=5) as producer:
        yield lambda records: _into_kafka(producer, prefix, records)


async def _into_memory(broker: MemoryBroker, records: Sequence[Record]) -> list[int | None]:
    placed: list[int | None] = []
    for record in records:
        try:
            placed += await broker.publish([record])
        except RecordTooLarge:
            placed.append(None)
    return placed


async def _into_kafka(producer: AIOKafkaProducer, prefix: str, records: Sequence[Record]) -> list[int | None]:
    sent = []
    for each in records:
        # aiokafka takes no null key with a null value
        key = b"" if each.key_bytes is None and each.value is None else each.key_bytes
        headers = cast("list[tuple[str, bytes]]", list(each.headers))
        sent.append(
            await producer.send(prefix + each.topic, each.value, key, partition=each.partition, headers=headers)
        )
    return [done.offset for done in await asyncio.gather(*sent)]


def _forgotten(broker: Broker) -> None:
    """Take out of a log in memory what was looked at: its growth would hide that of the tasks."""
    if isinstance(broker, MemoryBroker):
        for name in (*NAMES, *map(dead_letters, NAMES), changelog("taker")):
            for log in broker._logs[name]:
                blank = Received(name, 0, 0, "", None, (), 0)
                for index in range(len(log) - 1, -1, -1):
                    if log[index].key == "" and log[index].value is None and not log[index].headers:
                        break
                    log[index] = blank
