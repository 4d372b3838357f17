"""Slices: how the data plane keeps one order across processes and partitions.

A feed publishes the rows of a slice and closes it on every market-data partition. Each pool works a slice in phases. A
phase runs once every channel it takes from has closed that slice, over all its records in a total order that no
partition or offset influences; then the pool closes the slice for those downstream:

    feed -> (execution match) -> (portfolio mark, risk mark) ; feed -> (alpha decide) -> (portfolio construct)
         -> (risk control) -> (execution accept) -> the next slice

So execution matches a slice only after risk has decided on the one before, whatever the processes' speed: an order
decided on a slice meets only later data, and the same log gives the same decisions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import takewhile
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from schemas import KillSwitchSet, PolicyInForce, SliceClosed, StrategyStarted
from streams.record import Event, TopicPartition
from streams.topics import DATA_PLANE_RANK, POLICIES, Family

FEED = "feed"
ANY = -1
"""Stands for the slice of records that were published outside slices: the next phase takes them."""
FOREVER = 2**63
TABLES = frozenset({POLICIES.name})
"""Topics that a pool with a role reads whole, ahead of slices, where it has a handler for what they carry."""


@dataclass(frozen=True)
class Phase:
    """One stage of a pool's work on a slice."""

    name: str
    takes: tuple[str, ...]
    """Topics whose records it handles."""
    announces: str | None = None
    """Topic on which it tells that it is done."""


@dataclass(frozen=True)
class Role:
    """A pool's place in the data plane."""

    owner: Family
    """Tasks are the partitions of this family."""
    phases: tuple[Phase, ...]
    tables: tuple[str, ...] = ()
    """Single-partition topics that are read whole, ahead of slices."""


ROLES: dict[str, Role] = {
    "alpha": Role("account", (Phase("decide", ("ticks", "bars"), "signals"),), ("strategies",)),
    "portfolio": Role(
        "account",
        (Phase("mark", ("ticks", "bars", "fills")), Phase("construct", ("signals",), "targets")),
        ("strategies",),
    ),
    "risk": Role(
        "account",
        (Phase("mark", ("ticks", "bars", "fills")), Phase("control", ("targets",), "orders")),
        ("strategies",),
    ),
    "execution": Role(
        "instrument", (Phase("match", ("ticks", "bars"), "fills"), Phase("accept", ("orders",), "fills"))
    ),
}


class Channel(NamedTuple):
    """A stream of slice closings: who tells what on which partition."""

    topic: str
    partition: int
    source: str
    source_partition: int
    stage: str


class Frontier(BaseModel):
    """The last phase that a task completed."""

    model_config = ConfigDict(frozen=True)

    slice: int = -1
    """The slice, ns UTC; -1 before the first."""
    phase: int = -1
    """Index of the phase within the role; -1: the slice before is complete."""
    runs: tuple[str, ...] = ()
    """The runs that are active in the slice."""
    switches: tuple[KillSwitchSet, ...] = ()
    """What operators say of kill switches in the slice."""
    policies: tuple[PolicyInForce, ...] = ()
    """The policies that decide in the slice."""


@dataclass(frozen=True)
class Work:
    """What a task handles in one go: a phase of a slice, or records outside slices (phase None)."""

    phase: Phase | None
    slice: int | None
    events: Sequence[Event]
    """Records in their total order."""
    runs: tuple[str, ...] = ()
    """The runs that are active in the slice."""
    closings: Sequence[Event] = ()
    """The slice closings that are settled with it."""
    switches: tuple[KillSwitchSet, ...] = ()
    """What operators say of kill switches in the slice."""
    policies: tuple[PolicyInForce, ...] = ()
    """The policies that decide in the slice."""


@dataclass
class SliceInbox:
    """Hold records until their phase may run.

    partitions maps each family to its partition count; runs is the task's table of started runs, which it fills itself,
    and so is policies: the newest version that it has read of each, None for a pool that reads none.
    """

    role: Role
    partition: int
    partitions: Mapping[str, int]
    runs: Mapping[str, StrategyStarted]
    frontier: Frontier
    policies: Mapping[str, int] | None = None
    _waiting: dict[str, dict[int, list[Event]]] = field(default_factory=lambda: defaultdict(dict))
    """Records by topic and slice; those outside slices under ANY."""
    _order: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """The slices in _waiting as heaps."""
    _closed: dict[Channel, dict[int, Event]] = field(default_factory=lambda: defaultdict(dict))

    def offer(self, event: Event) -> None:
        """Take one record in."""
        message, place = event.message, event.record
        if isinstance(message, SliceClosed):
            channel = Channel(place.topic, place.partition, message.source, message.partition, message.stage)
            self._closed[channel][message.ts_event] = event
            return
        of = ANY if event.envelope.slice is None else event.envelope.slice
        waiting = self._waiting[place.topic]
        if of not in waiting:
            waiting[of] = []
            heappush(self._order[place.topic], of)
        waiting[of].append(event)

    def next(self) -> Work | None:
        """Return the next phase that may run, or None; it counts as handled once taken."""
        tables = [event for name in self.role.tables for event in self._pop(name, FOREVER)]
        if tables:
            return Work(None, None, tables)
        following = self._following()
        if following is None:
            return None
        phase = self.role.phases[following.phase]
        channels = [channel for name in phase.takes for channel in self._channels(name, following.runs)]
        if any(following.slice not in self._closed[channel] for channel in channels):
            return None
        self.frontier = following
        closings = [self._closed[channel].pop(following.slice) for channel in channels]
        if following.phase + 1 == len(self.role.phases):
            closings += self._drop_stale(following.slice)
        events, duplicates = self._take(phase, following.slice)
        settled = closings + duplicates
        return Work(phase, following.slice, events, following.runs, settled, following.switches, following.policies)

    def ahead(self, inputs: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Return the inputs of which no record is waited for now: what they still bring is of later phases."""
        sliced = {name for phase in self.role.phases for name in phase.takes}
        lacked = {(channel.topic, channel.partition) for channel in self._lacked()}
        return [place for place in inputs if place.topic in sliced and place not in lacked]

    def _lacked(self) -> list[Channel]:
        """Return the channels whose closings the next phase waits for."""
        following = self._following()
        if following is None:
            return [channel for channel in self._feed_channels() if self._ahead(channel) is None]
        takes = self.role.phases[following.phase].takes
        channels = [channel for name in takes for channel in self._channels(name, following.runs)]
        return [channel for channel in channels if following.slice not in self._closed[channel]]

    def _ahead(self, channel: Channel) -> int | None:
        """Return the next slice that a channel has closed; its closings come in the order of their slices."""
        return next((ts for ts in self._closed[channel] if ts > self.frontier.slice), None)

    def _following(self) -> Frontier | None:
        last = self.frontier
        if 0 <= last.phase < len(self.role.phases) - 1:
            return last.model_copy(update={"phase": last.phase + 1})
        first = self._feed_channels()[0]
        ahead = self._ahead(first)
        if ahead is None:
            return None
        closing = self._closed[first][ahead].message
        assert isinstance(closing, SliceClosed)
        if not self._knows(closing):
            return None
        return Frontier(slice=ahead, phase=0, runs=closing.runs, switches=closing.switches, policies=closing.policies)

    def _knows(self, closing: SliceClosed) -> bool:
        """Tell whether the tables have come as far as the slice."""
        if self.role.tables and any(run not in self.runs for run in closing.runs):
            return False
        read = self.policies
        return read is None or all(each.version <= read.get(each.policy_id, 0) for each in closing.policies)

    def _feed_channels(self) -> list[Channel]:
        return [*self._channels("ticks", ()), *self._channels("bars", ())]

    def _channels(self, name: str, runs: tuple[str, ...]) -> list[Channel]:
        mine, count = self.partition, self.partitions
        if name in ("ticks", "bars"):
            read = [mine] if self.role.owner == "instrument" else range(count["instrument"])
            return [Channel(name, partition, FEED, 0, "data") for partition in read]
        if name == "fills":
            return [Channel(name, mine, "execution", source, "match") for source in range(count["instrument"])]
        if name == "orders":
            return [Channel(name, mine, "risk", source, "control") for source in range(count["account"])]
        if name == "targets":
            return [Channel(name, mine, "portfolio", mine, "construct")]
        if name == "signals":
            pools = sorted({self.runs[run].alpha_pool for run in runs})
            return [Channel(name, mine, pool, mine, "decide") for pool in pools]
        return []

    def _take(self, phase: Phase, ts: int) -> tuple[list[Event], list[Event]]:
        """Return the phase's records in total order, and those that say once more what another one said."""
        taken = sorted((event for name in phase.takes for event in self._pop(name, ts)), key=total_order)
        first: dict[str, Event] = {}
        duplicates = [event for event in taken if first.setdefault(event.envelope.message_id, event) is not event]
        return (list(first.values()) if duplicates else taken), duplicates

    def _pop(self, name: str, ts: int) -> list[Event]:
        waiting, order = self._waiting[name], self._order[name]
        taken: list[Event] = []
        while order and order[0] <= ts:
            taken += waiting.pop(heappop(order))
        return taken

    def _drop_stale(self, ts: int) -> list[Event]:
        """Settle closings that nobody waits for, such as those of pools that no run names."""
        stale = []
        for closings in self._closed.values():
            past = list(takewhile(lambda slice_ts: slice_ts <= ts, closings))
            stale += [closings.pop(slice_ts) for slice_ts in past]
        return stale


def total_order(event: Event) -> tuple[int, int, str, str, str, int]:
    """Return the key of the total order: time, topic rank, instrument, account, source; then the source's own order.

    Offsets only ever compare records of one instrument, account and source: one task emitted them in this order into
    one partition, so they carry no accident of timing or partitioning.
    """
    message, record = event.message, event.record
    rank = DATA_PLANE_RANK.index(record.topic)
    return (
        getattr(message, "ts_event", 0),
        rank,
        getattr(message, "instrument_id", ""),
        getattr(message, "account_id", ""),
        event.envelope.source,
        record.offset,
    )
