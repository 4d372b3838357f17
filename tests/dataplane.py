"""The data plane on a broker in memory: pools as tasks of a host, runs announced, slices fed, messages read back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agents.alpha.pool import build as build_alpha
from agents.context import Run
from agents.data.feed import Feed, Row
from agents.data.fetch import FetchParameters, fetch
from agents.data.slicing import bar_slices
from agents.data.sources import SampleProvider
from agents.execution.pool import build as build_execution
from agents.pool import AgentPool
from agents.portfolio.pool import build as build_portfolio
from agents.risk.pool import build as build_risk
from agents.transaction_cost.model import CostModel
from orchestrator.wiring import kinds_of
from schemas import Bar, Instrument, Message, RiskLimits, Signal, SliceClosed, StrategyStarted
from streams.clock import ManualClock
from streams.host import Host, create_topology
from streams.ids import derive_id
from streams.memory_broker import MemoryBroker
from streams.record import Envelope, Event, Record, TopicPartition
from streams.serde import Serde
from streams.state import State
from streams.task import Task
from streams.topics import key_of, topic_of

M = TypeVar("M", bound=Message)
SERDE = Serde()
ONE = {"account": 1, "instrument": 1, "workflow": 1, "single": 1}
START = 1_325_376_000_000_000_000
COSTS = CostModel()
COMMISSION = COSTS.commission_rate


def instrument(symbol: str, venue: str = "XNAS", lot_size: float = 1.0) -> Instrument:
    return Instrument(
        instrument_id=f"{symbol}.{venue}",
        symbol=symbol,
        venue=venue,
        currency="USD",
        tick_size=0.01,
        lot_size=lot_size,
        calendar="XNYS" if venue == "XNAS" else "24/7",
    )


def started(run_id: str, instruments: Sequence[Instrument], **changed: Any) -> StrategyStarted:
    """Return a run of momentum on its own account, with what is changed."""
    fields: dict[str, Any] = {
        "run_id": run_id,
        "strategy_id": f"s-{run_id}",
        "account_id": f"a-{run_id}",
        "workflow_id": run_id,
        "alpha_pool": "alpha",
        "strategy_type": "momentum",
        "lookback_period": 2,
        "rebalance_frequency": "bar",
        "parameters": {},
        "instruments": tuple(instruments),
        "currency": "USD",
        "initial_cash": 100_000.0,
        "limits": RiskLimits(max_daily_loss=1.0, max_gross_exposure=2.0),
        "ts_event": START,
    }
    return StrategyStarted(**{**fields, **changed})


def bar(name: str, day: int, close: float, **changed: Any) -> Bar:
    """Return a daily bar that opens where it closes."""
    day_ns = 86_400 * 10**9
    fields: dict[str, Any] = {
        "instrument_id": name,
        "interval": "1d",
        "ts_open": START + day * day_ns,
        "ts_event": START + day * day_ns + day_ns // 2,
        "session_date": f"2012-01-{day + 1:02}",
        "open": close,
        "high": close + 1,
        "low": close - 1,
        "close": close,
        "volume": 1e9,
        "adjustment": "raw",
        "source": "test",
        "synthetic": True,
    }
    return Bar(**{**fields, **changed})


def sample(symbols: Sequence[str], start: str, end: str) -> tuple[tuple[Instrument, ...], list[list[Bar]]]:
    """Return the sample's instruments, and its bars by session close."""
    fetched = fetch(SampleProvider(), FetchParameters(symbols=tuple(symbols), start=start, end=end))
    return fetched.instruments, list(bar_slices(bar for block in fetched.blocks for bar in block.bars()))


def built_in() -> list[AgentPool]:
    """Return the pools of the data plane."""
    return [
        build_alpha(),
        build_portfolio(initial_capital=1e6, headroom=COMMISSION + 0.02),
        build_risk(commission_rate=COMMISSION, cash_buffer=0.02),
        build_execution(COSTS),
    ]


@dataclass
class Plane:
    """Pools on one broker."""

    pools: Sequence[AgentPool] = field(default_factory=built_in)
    partitions: Mapping[str, int] = field(default_factory=lambda: ONE)
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    host: Host | None = None
    feed: Feed | None = None
    work: asyncio.Task[None] | None = None
    _accepted: Counter[int] = field(default_factory=Counter)
    _read: dict[int, int] = field(default_factory=dict)

    async def create(self) -> None:
        kinds = [kind for pool in self.pools for kind in kinds_of(pool)]
        await create_topology(self.broker, self.partitions, kinds)

    def feeding(self) -> AbstractAsyncContextManager[Feed]:
        """Open the feed alone."""
        return Feed.open(self.broker, self.partitions, self.clock, SERDE)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Plane]:
        """Run all tasks until the block ends; its end waits for them, and raises what stopped them."""
        await self.create()
        self.start()
        async with Feed.open(self.broker, self.partitions, self.clock, SERDE) as self.feed:
            try:
                yield self
            finally:
                assert self.host is not None
                assert self.work is not None
                self.host.stop.set()
                await self.work

    def start(self) -> None:
        self.host = self.new_host()
        self.work = asyncio.create_task(self.host.run())

    async def kill(self, *pools: str) -> None:
        """End the tasks of some pools, or of all, where they stand; then go on with a new host."""
        assert self.host is not None
        assert self.work is not None
        for name, task in self.host._running.items():
            if not pools or name.rpartition(".")[0] in pools:
                task.cancel()
        self.host.stop.set()
        await self.work
        self.start()

    def new_host(self) -> Host:
        kinds = [kind for pool in self.pools for kind in kinds_of(pool)]
        return Host(self.broker, kinds, self.partitions, self.clock, SERDE, on_commit=_attentive)

    async def announce(self, *runs: StrategyStarted) -> None:
        await self.say(*runs)

    async def say(self, *messages: Message, key: str | None = None, **envelope: Any) -> list[str]:
        """Publish messages from outside; return their ids."""
        records = [record(message, key=key, **envelope) for message in messages]
        await self.broker.publish(records)
        return [dict(each.headers)["ce_id"].decode() for each in records]

    async def publish(self, slices: Iterable[Sequence[Row]]) -> None:
        """Feed slices and wait until the venue has taken every order of the last one."""
        assert self.feed is not None
        slices = list(slices)
        await self.feed.publish(slices)
        await self.done(slices)

    async def done(self, slices: Sequence[Sequence[Row]]) -> None:
        """Wait until the venue has taken every order of the last slice."""
        last = max(row.ts_event for row in slices[-1])
        await self.until(lambda: self.accepted(last), f"the end of slice {last}")

    def accepted(self, ts: int) -> bool:
        """Tell whether the venue has taken every order of a slice."""
        for partition, log in enumerate(self.broker._logs["fills"]):
            for record in log[self._read.get(partition, 0) :]:
                if dict(record.headers)["ce_type"] == b"finagent.SliceClosed":
                    closing = SERDE.decode(record.value)
                    assert isinstance(closing, SliceClosed)
                    self._accepted[closing.ts_event] += closing.stage == "accept"
            self._read[partition] = len(log)
        return self._accepted[ts] == self.partitions["instrument"] * self.partitions["account"]

    async def until(self, condition: Callable[[], bool], what: str = "a condition", timeout_s: float = 30) -> None:
        """Let the tasks run until a condition on the log holds, or one of them has failed."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    if self.host is not None and self.host.failure is not None:
                        raise self.host.failure
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"waited {timeout_s} s for {what}") from None

    def events(self, name: str) -> list[Event]:
        """Return all messages on a topic, closings left out, partition after partition."""
        decoded = (
            Event(SERDE.decode(each.value), Envelope.from_headers(each.headers), each)
            for each in self.records(name)
            if dict(each.headers).get("ce_type") != b"finagent.SliceClosed"
        )
        return list(decoded)

    def records(self, name: str) -> list[Any]:
        log = self.broker._logs.get(name, [])
        return [each for partition in log for each in partition]

    def of(self, kind: type[M], name: str | None = None) -> list[M]:
        """Return all messages of a type, by time."""
        found = [event.message for event in self.events(name or topic_of(kind).name)]
        mine = [message for message in found if isinstance(message, kind)]
        return sorted(mine, key=lambda message: getattr(message, "ts_event", 0))

    def ids(self, name: str) -> list[str]:
        """Return the message ids on a topic, sorted by slice: partitions leave no trace in them."""
        found = [(event.envelope.slice or 0, event.envelope.message_id) for event in self.events(name)]
        return [message_id for _, message_id in sorted(found)]

    def letters(self, name: str) -> list[dict[str, bytes]]:
        """Return the headers of a topic's dead letters."""
        return [dict(each.headers) for each in self.records(f"{name}.dlq")]

    def committed(self, task_id: str, name: str, partition: int = 0) -> int:
        return self.broker._committed[task_id].get(TopicPartition(name, partition), 0)


def _attentive(task: Task) -> None:
    task.poll_s = 0.01  # it sees its stop at the end of a poll


def record(
    message: Message,
    *,
    key: str | None = None,
    message_id: str | None = None,
    name: str | None = None,
    slice_ts: int | None = None,
    source: str = "test",
) -> Record:
    """Return a message as someone outside the pools would publish it."""
    on = name or topic_of(type(message)).name
    chosen = key if key is not None else key_of(on, message)
    named = message_id or derive_id(repr(message), "test")
    envelope = Envelope(named, type(message).__name__, source, START, named, named, slice_ts)
    return Record(on, chosen, SERDE.encode(message), envelope.headers())


class Count(State):
    """Bars seen by one run."""

    seen: int = 0


def restless() -> AgentPool:
    """Return a pool that wants more at every bar."""
    pool = AgentPool("restless", role="alpha")

    @pool.on
    def decide(bar: Bar, run: Run, count: Count) -> Signal:
        count.seen += 1
        wanted = 0.01 * count.seen
        return run.signal(bar.instrument_id, "BUY", price=bar.close, score=1, confidence=1, target_weight=wanted)

    return pool
