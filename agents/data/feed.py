"""The feed: puts market data on the log, slice by slice, and says which runs are active in each, and what is halted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Self

from pydantic import Field

from agents.context import bar_id, tick_id
from agents.data.adjustments import check_times, learn
from schemas import (
    Bar,
    CorporateAction,
    Instrument,
    KillSwitchSet,
    Message,
    PolicyInForce,
    PolicyPublished,
    SliceClosed,
    StrategyStarted,
    StrategyStopped,
    TickBlock,
)
from streams import tracing
from streams.broker import Broker, Reader, Transactions, partition_of
from streams.clock import Clock
from streams.errors import DecodeError, InvalidData
from streams.ids import derive_id, slice_id
from streams.reading import end_for_owner
from streams.record import Envelope, Received, Record, TopicPartition
from streams.serde import Serde
from streams.slices import FEED
from streams.state import State, StateTable
from streams.topics import BARS, INSTRUMENTS, POLICIES, STRATEGIES, TICKS, Topic, changelog

Row = Bar | TickBlock | CorporateAction
log = logging.getLogger("finagent.feed")
_TABLES = (TopicPartition(STRATEGIES.name, 0), TopicPartition(POLICIES.name, 0))


POLICY_ID = "policy_id"
"""The parameter by which a run names the policy that decides for it."""


class FeedState(State):
    """What the feed remembers."""

    last_slice: int = -1
    """Time of the last slice, ns UTC."""
    beyond: int = 0
    """How far the last slice lies beyond the last data's own time, by empty slices and what had to follow them, ns."""
    rows: dict[str, int] = Field(default_factory=dict)
    """Rows published so far, by topic."""
    slices: int = 0
    """Slices published so far."""
    sequences: dict[str, int] = Field(default_factory=dict)
    """Sequence of the next tick that comes without one, by instrument_id."""
    adjustments: dict[str, str] = Field(default_factory=dict)
    """Adjustment of an instrument's bars, raw once it had a corporate action; by instrument_id."""

    @property
    def last_data(self) -> int:
        """Return the last data's own time: what is not later was published, ns UTC."""
        return self.last_slice - self.beyond


class SwitchState(State):
    """What the feed told of kill switches; apart from FeedState, which changes with every slice."""

    released: dict[str, str] = Field(default_factory=dict)
    """Command of the last release that a slice told of, by account_id."""


class Feed:
    """The one writer of live market data; opening another one fences this."""

    def __init__(
        self,
        broker: Broker,
        partitions: Mapping[str, int],
        clock: Clock,
        serde: Serde,
        connections: tuple[Transactions, Reader, StateTable],
    ) -> None:
        self._broker = broker
        self._count = partitions["instrument"]
        self._clock = clock
        self._serde = serde
        self._transactions, self._tables, self._states = connections
        self._active: dict[str, StrategyStarted] = {}
        self._trace: tuple[int, str | None] = (-1, None)
        self._policies: dict[str, PolicyInForce] = {}
        self._switches: dict[str, KillSwitchSet] = {}
        self._words: set[str] = set()
        self._untold = False
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, broker: Broker, partitions: Mapping[str, int], clock: Clock, serde: Serde
    ) -> AsyncIterator[Self]:
        """Become the feed, where the last one stopped."""
        async with broker.transactions(FEED) as transactions:
            states = StateTable(FEED, 0, serde)
            await states.restore(broker, await end_for_owner(transactions, TopicPartition(changelog(FEED), 0)))
            start = await broker.beginnings(_TABLES)
            async with broker.reader(start) as tables:
                feed = cls(broker, partitions, clock, serde, (transactions, tables, states))
                await feed._catch_up()
                # What was said while there was no feed waits for data, as it did then.
                feed._untold = False
                yield feed

    @property
    def state(self) -> FeedState:
        """Return what was published so far."""
        return self._states.get(FeedState, FEED)

    @property
    def active(self) -> Mapping[str, StrategyStarted]:
        """Return the runs that the next slice names."""
        return self._active

    async def _catch_up(self) -> None:
        ends = await self._broker.ends(_TABLES)
        while any(self._tables.position(table) < end for table, end in ends.items()):
            for record in await self._tables.poll(0.5):
                self._learn(record)

    def _learn(self, record: Received) -> None:
        try:
            message = self._serde.decode(record.value)
        except DecodeError as error:
            # The pools, which read the topic too, set the record aside.
            log.warning("%s is passed over: %s", record.place, error)
            return
        if isinstance(message, StrategyStarted):
            self._active[message.run_id] = message
        elif isinstance(message, StrategyStopped):
            self._untold |= self._active.pop(message.run_id, None) is not None
        elif isinstance(message, PolicyPublished):
            self._learn_policy(message)
        elif isinstance(message, KillSwitchSet) and message.command_id not in self._words:
            # An orchestrator that was killed may say an older word again: it must not undo the one after it.
            self._words.add(message.command_id)
            self._switches[message.account_id] = message
            self._untold = True

    def _learn_policy(self, policy: PolicyPublished) -> None:
        """Take a version that may decide; one that is older than what is known comes too late."""
        known = self._policies.get(policy.policy_id)
        if policy.serving and (known is None or policy.version > known.version):
            self._policies[policy.policy_id] = policy.in_force()

    async def reference_data(self, instruments: Iterable[Instrument]) -> None:
        """Publish what is known of the instruments."""
        await self._transactions.commit(
            [self._record(i, INSTRUMENTS, i.instrument_id, derive_id(i.instrument_id, FEED), None) for i in instruments]
        )

    async def publish(self, slices: Iterable[Sequence[Row]]) -> int:
        """Publish slices in one transaction, each closed on every partition; return how many were new.

        Slices up to the last one with rows are passed over: a feed that starts again goes on where it was. A slice
        that would not lie after an empty one follows it by 1 ns.
        Raises InvalidData where times go backwards, a slice is empty, or corporate actions come late or meet adjusted
        bars; then nothing is published.
        """
        timed = _timed(slices)
        async with self._one_at_a_time:
            await self._catch_up()
            state, records = self.state, list[Record]()
            new = [(ts, rows) for ts, rows in timed if ts > state.last_data]
            state.adjustments = _checked(new, state)
            for own, rows in new:
                ts = max(own, state.last_slice + 1)
                records += self._slice(ts, rows, state)
                state.beyond = ts - own
            if records:
                await self._transactions.commit(records, None, lambda _: self._states.changes())
            return len(new)

    async def publish_now(self, rows: Sequence[Row]) -> int:
        """Publish what a live feed just gave as one slice; return its time.

        Rows keep their own times; a slice that would fall on the last one's time follows it by 1 ns.
        """
        async with self._one_at_a_time:
            await self._catch_up()
            state = self.state
            ts = max(max(row.ts_event for row in rows), state.last_slice + 1)
            state.adjustments = _checked([(ts, rows)], state)
            records = self._slice(ts, [self._numbered(row, state) for row in rows], state)
            await self._transactions.commit(records, None, lambda _: self._states.changes())
            return ts

    async def close_empty(self) -> int:
        """Publish a slice without rows where a stop or a kill switch waits for one; return its time, ns UTC, or -1.

        It follows the last slice by 1 ns: nothing is known of the time in between. Before the first slice there is
        nothing to stop.
        """
        async with self._one_at_a_time:
            await self._catch_up()
            state = self.state
            if state.last_slice < 0 or not self._untold:
                return -1
            records = self._closed(state.last_slice + 1, {}, state)
            state.beyond += 1
            await self._transactions.commit(records, None, lambda _: self._states.changes())
            return state.last_slice

    def _numbered(self, row: Row, state: FeedState) -> Row:
        if not isinstance(row, TickBlock):
            return row
        first = max(state.sequences.get(row.instrument_id, 0), row.seq0)
        state.sequences[row.instrument_id] = first + len(row)
        return row.model_copy(update={"seq0": first})

    def _slice(self, ts: int, rows: Sequence[Row], state: FeedState) -> list[Record]:
        state.beyond = 0
        counts: dict[tuple[str, int], int] = {}
        records = []
        for row in rows:
            records.append(self._row(row, ts))
            place = (records[-1].topic, partition_of(row.instrument_id, self._count))
            size = len(row) if isinstance(row, TickBlock) else 1
            counts[place] = counts.get(place, 0) + size
            state.rows[place[0]] = state.rows.get(place[0], 0) + size
        return records + self._closed(ts, counts, state)

    def _closed(self, ts: int, counts: Mapping[tuple[str, int], int], state: FeedState) -> list[Record]:
        state.last_slice, state.slices = ts, state.slices + 1
        switches, self._untold = self._told(), False
        closing = SliceClosed(
            ts_event=ts,
            source=FEED,
            partition=0,
            stage="data",
            runs=tuple(sorted(self._active)),
            switches=switches,
            policies=self._in_force(),
        )
        return [
            self._closing(closing, topic, partition, counts.get((topic.name, partition), 0))
            for topic in (TICKS, BARS)
            for partition in range(self._count)
        ]

    def _in_force(self) -> tuple[PolicyInForce, ...]:
        """Return the newest version of each policy that an active run names."""
        named = {str(run.parameters.get(POLICY_ID)) for run in self._active.values()}
        return tuple(self._policies[name] for name in sorted(named & self._policies.keys()))

    def _told(self) -> tuple[KillSwitchSet, ...]:
        """Return the words that the next slice tells: every halt, and the releases that none told yet."""
        if not self._switches:
            return ()
        told = self._states.get(SwitchState, FEED).released
        words = [self._switches[name] for name in sorted(self._switches)]
        fresh = tuple(word for word in words if word.active or told.get(word.account_id) != word.command_id)
        told |= {word.account_id: word.command_id for word in fresh if not word.active}
        return fresh

    def _row(self, row: Row, ts: int) -> Record:
        if isinstance(row, TickBlock):
            return self._record(row, TICKS, row.instrument_id, tick_id(row, 0), ts)
        return self._record(row, BARS, row.instrument_id, bar_id(row), ts)

    def _closing(self, closing: SliceClosed, topic: Topic, partition: int, rows: int) -> Record:
        message_id = derive_id(slice_id(closing.ts_event), FEED, topic.name, partition)
        told = closing.model_copy(update={"rows": rows})
        return self._record(told, topic, str(partition), message_id, closing.ts_event, partition)

    def _record(
        self, message: Message, topic: Topic, key: str, message_id: str, ts: int | None, partition: int | None = None
    ) -> Record:
        now = self._clock.now()
        envelope = Envelope(
            message_id=message_id,
            type=type(message).__name__,
            source=FEED,
            ts_init=now,
            correlation_id=str(ts) if ts is not None else message_id,
            causation_id=message_id,
            slice=ts,
            traceparent=self._traced(ts),
        )
        value = self._serde.encode(message)
        return Record(topic.name, key, value, envelope.headers(), partition, now // 1_000_000)

    def _traced(self, ts: int | None) -> str | None:
        """Return the context of a slice's trace, which begins with its first record."""
        if ts is not None and ts != self._trace[0]:
            self._trace = (ts, tracing.sent("feed slice", {"finagent.slice": ts}))
        return None if ts is None else self._trace[1]


def _checked(timed: Sequence[tuple[int, Sequence[Row]]], state: FeedState) -> dict[str, str]:
    adjustments, last = state.adjustments, state.last_data
    for ts, rows in timed:
        check_times(ts, last, rows)
        adjustments, last = learn(adjustments, rows), ts
    return adjustments


def _timed(slices: Iterable[Sequence[Row]]) -> list[tuple[int, Sequence[Row]]]:
    timed: list[tuple[int, Sequence[Row]]] = []
    for rows in slices:
        if not rows:
            raise InvalidData(f"slice {len(timed)} has no rows")
        ts = max(row.ts_event for row in rows)
        if timed and ts <= timed[-1][0]:
            raise InvalidData(f"time goes backwards: slice {ts} after {timed[-1][0]}")
        timed.append((ts, rows))
    return timed
