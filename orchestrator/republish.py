"""Republish a part of the log under a run's own prefix: what a system of its own, or a backtest, then reads as live."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.market_log import REPLAYED, closed_slices
from streams.broker import Broker, TopicConfig, Transactions
from streams.clock import Clock
from streams.errors import ConfigError, DecodeError, MissingData
from streams.reading import read_whole
from streams.record import Envelope, Received, Record, TopicPartition
from streams.serde import Serde
from streams.slices import Work
from streams.topics import BARS, COMMANDS, INSTRUMENTS, POLICIES

BATCH = 200
"""Slices in one transaction where there is no pace to keep."""


@dataclass(frozen=True)
class Range:
    """Which part of the log, and how fast."""

    run_id: str
    """Names the copy: its topics are bt.<run_id>.<topic>."""
    start: int | None = None
    """First slice, ns UTC."""
    end: int | None = None
    """Slices from here on are left out, ns UTC."""
    start_offset: int | None = None
    """First offset on partition 0 of `bars`, where every slice is closed: a slice counts by its closing there."""
    end_offset: int | None = None
    """Slices closed at this offset or later are left out."""
    speed: float = 0.0
    """Event time per real time; 0: as fast as possible."""
    commands: bool = False
    """Whether commands are republished too, each before the slices that were recorded after it."""

    @property
    def prefix(self) -> str:
        """Return what stands before each topic's name."""
        return prefix_of(self.run_id)


def prefix_of(run_id: str) -> str:
    """Return what stands before the topics of a replay; nothing for the log itself, which has no run_id."""
    return f"bt.{run_id}." if run_id else ""


async def republish(broker: Broker, serde: Serde, clock: Clock, wanted: Range) -> tuple[int, int]:
    """Copy slices with their closings, policies and commands; return how many slices and records were written.

    Records keep their key, bytes, headers and partition, so ids and slices are those of the original; running it again
    for the same run_id is refused. Raises MissingData where the range is empty.
    """
    counts = await broker.topics()
    policies = await _recorded(broker, POLICIES.name) if POLICIES.name in counts else []
    names = [*REPLAYED, INSTRUMENTS.name, *([COMMANDS.name] if wanted.commands else [])]
    names += [POLICIES.name] if policies else []
    copies = {name: wanted.prefix + name for name in names}
    existing = sorted(set(copies.values()) & counts.keys())
    if existing:
        raise ConfigError(f"run {wanted.run_id!r} was replayed before: topic {existing[0]} exists; take another run_id")
    await broker.create_topics({copy: TopicConfig(counts[name]) for name, copy in copies.items()})
    commands = await _recorded(broker, COMMANDS.name) if wanted.commands else []
    instruments = await _recorded(broker, INSTRUMENTS.name)
    async with broker.transactions(f"replay.{wanted.run_id}") as transactions:
        for batch in filter(None, (instruments, *([policy] for policy in policies))):
            await transactions.commit([_copied(record, copies) for record in batch])
        return await _copy(_paced(broker, serde, clock, wanted), transactions, commands, copies)


async def _copy(
    batches: AsyncIterator[Sequence[Work]],
    transactions: Transactions,
    commands: list[Received],
    copies: Mapping[str, str],
) -> tuple[int, int]:
    slices = written = 0
    heapq.heapify(queue := [(record.timestamp_ms, number, record) for number, record in enumerate(commands)])
    async for batch in batches:
        records: list[Record] = []
        for work in batch:
            of_slice = [event.record for event in (*work.events, *work.closings)]
            recorded = max(record.timestamp_ms for record in of_slice)
            while queue and queue[0][0] <= recorded:
                records.append(_copied(heapq.heappop(queue)[2], copies))
            records += [_copied(record, copies) for record in of_slice]
        await transactions.commit(records)
        slices, written = slices + len(batch), written + len(records)
    if not slices:
        raise MissingData("the log holds no slice in the range")
    rest = [_copied(record, copies) for _, _, record in sorted(queue)]
    if rest:
        await transactions.commit(rest)
    return slices, written + len(rest)


async def _paced(broker: Broker, serde: Serde, clock: Clock, wanted: Range) -> AsyncIterator[Sequence[Work]]:
    """Yield batches of slices, single ones at their time where there is a pace to keep."""
    began: tuple[int, int] | None = None
    batch: list[Work] = []
    async for work in closed_slices(broker, serde, wanted.start, wanted.end):
        assert work.slice is not None
        if not _within(work, wanted):
            continue
        batch.append(work)
        if wanted.speed > 0:
            began = began or (work.slice, clock.now())
            due = began[1] + int((work.slice - began[0]) / wanted.speed)
            await asyncio.sleep(max(0, due - clock.now()) / 1e9)
        if wanted.speed > 0 or len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _within(work: Work, wanted: Range) -> bool:
    offset = next(
        closing.record.offset
        for closing in work.closings
        if (closing.record.topic, closing.record.partition) == (BARS.name, 0)
    )
    begin, end = wanted.start_offset or 0, wanted.end_offset
    return begin <= offset and (end is None or offset < end)


async def _recorded(broker: Broker, name: str) -> list[Received]:
    """Return the readable records of a topic as they stand now."""
    places = [TopicPartition(name, partition) for partition in range((await broker.topics())[name])]
    return [record async for record in read_whole(broker, places) if _readable(record)]


def _readable(record: Received) -> bool:
    try:
        return bool(Envelope.from_headers(record.headers))
    except DecodeError:
        return False


def _copied(record: Received, copies: Mapping[str, str]) -> Record:
    name = copies[record.topic]
    return Record(name, record.key, record.value, record.headers, record.partition, record.timestamp_ms)
