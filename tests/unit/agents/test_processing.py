"""Pools under the task loop: what a failing handler and a malformed message lead to, and what a restart changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from agents.context import Context, Run, Slice
from agents.pool import AgentPool
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings
from orchestrator.strategy import TradingStrategy
from schemas import Bar, OrderFilled, OrderProposed, Position, PositionsUpdated, Signal, SliceClosed
from streams.broker import Follow, Offsets
from streams.errors import BrokerError, HandlerError
from streams.ids import slice_id
from streams.memory_broker import MemoryBroker
from streams.record import Record
from streams.state import State
from tests.dataplane import SERDE, START, Plane, bar, built_in, instrument, record, sample, started

A, B = instrument("A"), instrument("B")
DAYS = [[bar("A.XNAS", day, 100.0 + day), bar("B.XNAS", day, 50.0 + day % 3)] for day in range(8)]
CHOSEN = DAYS[3][0].ts_event
TOPICS = ("signals", "targets", "risk", "orders", "fills", "positions")


class Count(State):
    """Events seen for one key."""

    seen: int = 0


def opinion(run: Run, name: str, price: float) -> Signal:
    return run.signal(name, "BUY", price=price, score=1.0, confidence=1.0)


async def test_a_handler_that_raises_on_a_bar_loses_that_bar_and_goes_on() -> None:
    pool = AgentPool("p", role="alpha")

    @pool.on
    def decide(bar: Bar, run: Run, count: Count) -> Signal:
        count.seen += 1
        if bar.ts_event == CHOSEN and bar.instrument_id == "B.XNAS":
            raise ZeroDivisionError("a flat channel")
        return opinion(run, bar.instrument_id, count.seen)

    plane = Plane([*built_in(), pool])
    async with plane.running():
        await plane.announce(started("r", [A, B], alpha_pool="p"))
        await plane.publish(DAYS)
    # The state that the failing call had changed was given up with it: the counts have no gap.
    assert [signal.price for signal in plane.of(Signal)] == list(range(1, 16))
    assert plane.of(OrderFilled)
    (letter,) = plane.letters("bars")
    assert b"decide raised ZeroDivisionError: a flat channel (bars[0]@" in letter["dlq_reason"]
    assert (letter["dlq_topic"], letter["dlq_pool"]) == (b"bars", b"p")
    (kept,) = plane.records("bars.dlq")
    assert SERDE.decode(kept.value) == DAYS[3][1]


async def test_a_slice_handler_that_raises_loses_that_slice_of_that_run() -> None:
    pool = AgentPool("p", role="alpha")

    @pool.on
    def decide(slice_: Slice, run: Run) -> Signal:
        if slice_.ts == CHOSEN and run.started.run_id == "bad":
            raise ValueError("no idea")
        return opinion(run, "A.XNAS", slice_.prices["A.XNAS"].values[-1])

    plane = Plane([*built_in(), pool])
    async with plane.running():
        await plane.announce(*(started(name, [A, B], alpha_pool="p") for name in ("bad", "good")))
        await plane.publish(DAYS)
    seen = {name: [s.ts_event for s in plane.of(Signal) if s.run_id == name] for name in ("bad", "good")}
    assert seen["good"] == [day[0].ts_event for day in DAYS]
    assert seen["bad"] == [ts for ts in seen["good"] if ts != CHOSEN]
    (letter,) = plane.letters("bars")
    assert letter["dlq_reason"] == f"decide raised ValueError: no idea (slice {CHOSEN} key bad)".encode()
    closing = SERDE.decode(plane.records("bars.dlq")[0].value)
    assert isinstance(closing, SliceClosed)
    assert (closing.ts_event, closing.rows) == (CHOSEN, 2)
    assert not plane.letters("ticks")


@pytest.mark.parametrize("result", [{"side": "BUY"}, [1, 2], 7, "position"])
async def test_a_handler_that_returns_no_message_is_blamed_for_it(result: Any) -> None:
    pool = AgentPool("p", role="alpha")
    position = Position(instrument_id="A.XNAS", quantity=1, average_price=1, mark=1, unrealised_pnl=0)

    @pool.on
    def decide(bar: Bar, run: Run) -> Any:
        return position if result == "position" else result

    plane = Plane([*built_in(), pool])
    async with plane.running():
        await plane.announce(started("r", [A], alpha_pool="p"))
        await plane.publish([[bar("A.XNAS", 1, 10)], [bar("A.XNAS", 2, 11)]])
    reasons = [letter["dlq_reason"].decode() for letter in plane.letters("bars")]
    assert len(reasons) == 2
    assert all(reason.startswith("decide raised ") for reason in reasons)


async def test_a_handler_that_raises_on_fills_stops_its_host() -> None:
    pool = AgentPool("audit")

    @pool.on
    def book(fill: OrderFilled) -> None:
        raise RuntimeError("the books are closed")

    plane = Plane([*built_in(), pool])

    async def run() -> None:
        async with plane.running():
            await plane.announce(started("r", [A, B]))
            await plane.publish(DAYS)

    with pytest.raises(HandlerError, match=r"book raised RuntimeError: the books are closed \(fills\[0\]@"):
        await run()
    assert plane.host is not None
    assert isinstance(plane.host.failure, HandlerError)
    assert plane.host.stop.is_set()
    (fill, *_) = [event for event in plane.events("fills") if isinstance(event.message, OrderFilled)]
    assert plane.committed("audit.0", "fills") <= fill.record.offset
    assert not plane.letters("fills")


async def test_a_stopped_task_makes_health_critical() -> None:
    pool = AgentPool("audit")

    @pool.on
    def book(fill: OrderFilled) -> None:
        raise RuntimeError("the books are closed")

    orchestrator = FinAgentOrchestrator(settings=Settings())
    orchestrator.register_agent_pool(pool)
    await orchestrator.initialize()
    try:
        assert (await orchestrator.get_health_status())["status"] != "critical"
        _, slices = sample(["AAPL"], "2012-01-03", "2012-03-30")
        strategy = TradingStrategy("s", "S", symbols=["AAPL"], parameters={"strategy_type": "buy_and_hold"})
        await orchestrator.start_strategy(strategy, check_history=False)
        await (await orchestrator.feed()).publish(slices)
        assert orchestrator._host is not None
        await orchestrator._host.stop.wait()
        health = await orchestrator.get_health_status()
        assert health["status"] == "critical"
        assert "a task stopped: book raised RuntimeError: the books are closed" in health["reasons"][0]
    finally:
        await orchestrator.shutdown()


def signal(**changed: Any) -> Signal:
    fields = {
        "run_id": "r",
        "strategy_id": "s-r",
        "account_id": "a-r",
        "instrument_id": "A.XNAS",
        "signal": "BUY",
        "score": 1.0,
        "confidence": 1.0,
        "price": 100.0,
        "model": "test",
        "ts_event": START,
    }
    return Signal(**{**fields, **changed})


def proposed() -> OrderProposed:
    return OrderProposed(
        run_id="r",
        strategy_id="s-r",
        account_id="a-r",
        instrument_id="A.XNAS",
        side="BUY",
        quantity=1,
        proposal_id="p",
        signal_id="s",
        reference_price=1,
        ts_event=START,
    )


REFUSED: list[tuple[Record, str]] = [
    (Record("signals", "a-r", b"\xc3\x01no avro", record(signal()).headers), "no schema has the fingerprint"),
    (Record("signals", "a-r", None, record(signal()).headers), "the value is empty"),
    (Record("signals", "a-r", SERDE.encode(signal()), ()), "header ce_id is missing"),
    (Record("signals", "a-r", SERDE.encode(proposed()), record(signal()).headers), "OrderProposed does not belong"),
    (record(signal(run_id="nobody")), "run 'nobody' with account 'a-r' is not active"),
    (record(signal(account_id="a-other"), key="a-r"), "the key is 'a-r', expected 'a-other'"),
    (record(signal(instrument_id="C.XNAS")), "run 'r' does not trade C.XNAS"),
]


@pytest.mark.parametrize(("sent", "why"), REFUSED, ids=[why for _, why in REFUSED])
async def test_a_signal_that_nobody_can_take_is_set_aside(sent: Record, why: str) -> None:
    plane, undisturbed = Plane(), Plane()
    for each, records in ((undisturbed, ()), (plane, (sent,))):
        async with each.running():
            await each.announce(started("r", [A, B]))
            await each.broker.publish(records)
            await each.publish(DAYS)
    (letter,) = plane.letters("signals")
    assert why in letter["dlq_reason"].decode()
    assert (letter["dlq_topic"], letter["dlq_offset"], letter["dlq_pool"]) == (b"signals", b"0", b"portfolio")
    assert plane.records("signals.dlq")[0].value == sent.value
    assert undisturbed.of(OrderFilled)
    for name in ("orders", "fills", "positions"):
        assert plane.ids(name) == undisturbed.ids(name)


def counting() -> AgentPool:
    """Return a pool without a role that says after every fill how many there were."""
    pool = AgentPool("audit")

    @pool.on
    def count(fill: OrderFilled, count: Count, context: Context) -> Iterator[PositionsUpdated]:
        count.seen += 1
        yield PositionsUpdated(
            account_id=fill.account_id,
            currency="USD",
            cash=0,
            equity=0,
            deposits=0,
            realised_pnl=0,
            unrealised_pnl=0,
            commission=0,
            fills=count.seen,
            positions=(),
            ts_event=fill.ts_event,
        )

    return pool


RISES_AND_FALLS = [
    [bar("A.XNAS", day, 100.0 + 20 * (day // 3 % 2) + day % 3), bar("B.XNAS", day, 90.0 - day % 4)] for day in range(24)
]


async def audited(plane: Plane, disturb: Callable[[Plane], Any] | None = None) -> Plane:
    """Run slices one by one, disturbing the tasks on the way."""
    async with plane.running():
        await plane.announce(started("r", [A, B], parameters={"rebalance_band": 0.0}))
        for rows in RISES_AND_FALLS:
            assert plane.feed is not None
            await plane.feed.publish([rows])
            if disturb is not None:
                await disturb(plane)
            await plane.done([rows])
        fills = len(plane.of(OrderFilled))
        assert fills > 5
        await plane.until(lambda: len(counts(plane)) == fills)
    return plane


def counts(plane: Plane) -> list[int]:
    mine = [event for event in plane.events("positions") if event.envelope.source == "audit"]
    return [event.message.fills for event in mine if isinstance(event.message, PositionsUpdated)]


def same_log(one: Plane, other: Plane) -> None:
    for name in TOPICS:
        assert one.ids(name) == other.ids(name), name
        assert {e.envelope.message_id: e.message for e in one.events(name)} == {
            e.envelope.message_id: e.message for e in other.events(name)
        }


@pytest.mark.parametrize("killed", [(), ("audit",), ("alpha", "risk")])
async def test_tasks_that_are_killed_and_restarted_neither_lose_nor_double(killed: tuple[str, ...]) -> None:
    async def kill(plane: Plane) -> None:
        await plane.kill(*killed)

    undisturbed = await audited(Plane([*built_in(), counting()]))
    plane = await audited(Plane([*built_in(), counting()]), kill)
    assert counts(plane) == list(range(1, len(counts(undisturbed)) + 1))
    same_log(plane, undisturbed)


class Flaky(MemoryBroker):
    """Fails commits of chosen tasks once each: before writing, or after it, so that the task cannot know."""

    def __init__(self, failing: dict[str, int], *, written: bool) -> None:
        super().__init__()
        self.failing = failing
        self.written = written
        self.failed: list[str] = []

    def commit(
        self, task: tuple[str, int], group: str, records: Sequence[Record], offsets: Offsets, follow: Follow | None
    ) -> list[int]:
        self.failing[task[0]] = left = self.failing.get(task[0], 0) - 1
        if left == 0 and not self.written:
            self.failed.append(task[0])
            raise BrokerError("gone before the commit")
        placed = super().commit(task, group, records, offsets, follow)
        if left == 0:
            self.failed.append(task[0])
            raise BrokerError("gone after the commit")
        return placed


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("nth", [3, 17])
async def test_a_commit_that_fails_is_done_once(written: bool, nth: int) -> None:
    tasks = [f"{name}.0" for name in ("alpha", "portfolio", "risk", "execution", "audit")]
    failing = {name: nth if name != "audit" else 3 for name in tasks}
    undisturbed = await audited(Plane([*built_in(), counting()]))
    broker = Flaky(failing, written=written)
    plane = await audited(Plane([*built_in(), counting()], broker=broker))
    assert sorted(broker.failed) == sorted(tasks)
    assert counts(plane) == list(range(1, len(counts(undisturbed)) + 1))
    same_log(plane, undisturbed)


async def test_ids_are_unique_and_every_cause_is_on_the_log() -> None:
    plane = await audited(Plane([*built_in(), counting()]))
    events = [event for name in TOPICS for event in plane.events(name)]
    ids = [event.envelope.message_id for event in events]
    assert len(ids) == len(set(ids))
    known = {
        *ids,
        *(dict(each.headers)["ce_id"].decode() for name in ("bars", "strategies") for each in plane.records(name)),
    }
    slices = {slice_id(rows[0].ts_event) for rows in RISES_AND_FALLS}
    assert {event.envelope.causation_id for event in events} <= known | slices
