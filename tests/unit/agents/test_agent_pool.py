"""Pools of a user's own: what their functions get, and where what they return goes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.context import Because, Context, Run, Slice, bar_id, tick_id
from agents.pool import AgentPool
from agents.steps import Inputs
from examples import custom_pool
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings
from orchestrator.strategy import TradingStrategy
from schemas import (
    Bar,
    OrderFilled,
    OrderRejected,
    OrderReport,
    PositionsUpdated,
    SetKillSwitch,
    Signal,
    SliceClosed,
    TickBlock,
)
from streams.errors import ConfigError, UnknownAction
from streams.ids import slice_id
from streams.state import State
from streams.tail import tail
from tests.dataplane import START, Plane, bar, built_in, instrument, sample, started

A, B = instrument("A"), instrument("B")
DAYS = [[bar("A.XNAS", day, 100.0 + day), bar("B.XNAS", day, 50.0 - day)] for day in range(6)]


class Count(State):
    """Events seen for one key."""

    seen: int = 0


def opinion(run: Run, name: str, price: float) -> Signal:
    return run.signal(name, "BUY", price=price, score=1.0, confidence=1.0)


async def fed(pool: AgentPool, slices: Any = DAYS, runs: Any = (), **changed: Any) -> Plane:
    """Run the built-in pools and one more over slices."""
    plane = Plane([*built_in(), pool], **changed)
    async with plane.running():
        await plane.announce(*(runs or [started("r", [A, B], alpha_pool=pool.name)]))
        await plane.publish(slices)
    return plane


def code_lines(path: Path) -> int:
    """Count the lines of a module that are no docstring, comment or blank."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return sum(bool(line.strip()) for line in ast.unparse(tree).splitlines())


def test_the_example_is_short() -> None:
    assert code_lines(Path(custom_pool.__file__)) < 25


async def test_the_example_trades_and_answers_steps() -> None:
    orchestrator = FinAgentOrchestrator(settings=Settings())
    orchestrator.register_agent_pool(custom_pool.pool)
    await orchestrator.initialize()
    try:
        instruments, slices = sample(["AAPL", "MSFT"], "2012-01-03", "2012-06-29")
        strategy = TradingStrategy(
            "s", "Breakout", symbols=["AAPL", "MSFT"], parameters={"alpha_pool": "breakout", "window": 10}
        )
        run = await orchestrator.start_strategy(strategy, initial_cash=50_000, check_history=False)
        async with tail(orchestrator.broker, orchestrator.serde, ["signals", "fills"]) as followed:
            await (await orchestrator.feed()).publish(slices)
            last = max(each.ts_event for each in slices[-1])
            await followed.slice_done(last, orchestrator.partitions)
        signals = [event for event in followed.events if isinstance(event.message, Signal)]
        fills = [event.message for event in followed.events if isinstance(event.message, OrderFilled)]
        assert {event.envelope.source for event in signals} == {"breakout"}
        assert {event.message.signal for event in signals} == {"BUY", "SELL"}
        assert {fill.instrument_id for fill in fills} == {i.instrument_id for i in instruments}
        assert {fill.account_id for fill in fills} == {run.account_id}
        done = await orchestrator.execute_workflow({"steps": steps_of_the_example()})
        channel = done["results"]["2_describe_channel"]["channel"]["AAPL.XNAS"]
        closes = [b.close for rows in slices for b in rows if b.instrument_id == "AAPL.XNAS"][-5:]
        assert channel == [min(closes), max(closes)]
    finally:
        await orchestrator.shutdown()


def steps_of_the_example() -> list[dict[str, Any]]:
    fetch = {"symbols": ["AAPL"], "start": "2012-01-03", "end": "2012-06-29"}
    return [
        {"agent_pool": "data_agent_pool", "action": "fetch_market_data", "parameters": fetch},
        {"agent_pool": "breakout_agent_pool", "action": "describe_channel", "parameters": {"window": 5}},
    ]


def test_functions_stay_callable() -> None:
    run, closes = Run(started("r", [A], parameters={"window": 2}), START), custom_pool.Closes()
    made = [custom_pool.decide(bar("A.XNAS", day, price), run, closes) for day, price in enumerate((10, 11, 12, 11.5))]
    assert [signal and signal.signal for signal in made] == [None, None, "BUY", None]
    pool = AgentPool("p")

    @pool.step("double")
    @pool.step("twice")
    def double(parameters: dict[str, int], inputs: Inputs) -> dict[str, int]:
        return {"is": 2 * parameters["x"]}

    assert double({"x": 2}, Inputs({})) == {"is": 4}
    assert pool.answer("twice") is double
    assert (pool.address, AgentPool("my_pool").address) == ("p_agent_pool", "my_pool")
    with pytest.raises(UnknownAction, match=r"p_agent_pool has no action 'halve'; it has: double, twice"):
        pool.answer("halve")


def nothing() -> None: ...
def unannotated(bar, run: Run) -> None: ...
def no_event(bar: int) -> None: ...
def union_with_int(event: Bar | int) -> None: ...
def wants_a_dict(bar: Bar, cache: dict) -> None: ...
def unannotated_second(bar: Bar, cache) -> None: ...
def every_report(report: OrderReport) -> None: ...
def a_closing(closing: SliceClosed) -> None: ...
def unknown_name(bar: Bar, state: NoSuchState) -> None: ...  # noqa: F821
async def awaits(bar: Bar) -> None: ...
def a_fill(fill: OrderFilled) -> None: ...
def a_slice(slice_: Slice) -> None: ...
def a_run(bar: Bar, run: Run) -> None: ...


@pytest.mark.parametrize(
    ("function", "role", "why"),
    [
        (nothing, None, "nothing: annotate the first parameter with an event type or Slice"),
        (unannotated, "alpha", "unannotated: annotate the first parameter"),
        (no_event, None, "no_event: <class 'int'> is no event type"),
        (union_with_int, None, "union_with_int: <class 'int'> is no event type"),
        (wants_a_dict, None, "wants_a_dict: cache must be annotated with a State class, Run or Context"),
        (unannotated_second, None, "unannotated_second: cache must be annotated"),
        (every_report, None, r"every_report: .*OrderReport'> is no event type that stands on a topic"),
        (a_closing, None, r"a_closing: .*SliceClosed'> is no event type"),
        (unknown_name, None, "unknown_name: name 'NoSuchState' is not defined"),
        (awaits, None, "awaits: write def, not async def"),
        (a_fill, "alpha", "a_fill: 'p' takes no OrderFilled, its role gets bars, ticks"),
        (a_slice, None, "a_slice: Slice and Run are for pools with a role, 'p' has none"),
        (a_run, None, "a_run: Slice and Run are for pools with a role"),
    ],
)
def test_a_bad_signature_is_refused(function: Any, role: Any, why: str) -> None:
    pool = AgentPool("p", role=role)
    with pytest.raises(ConfigError, match=why):
        pool.on(function)
    assert not pool.handlers


def test_an_unknown_phase_and_an_async_step_are_refused() -> None:
    with pytest.raises(ConfigError, match="a_slice: 'p' has no phase 'marks', it has: mark, construct"):
        AgentPool("p", role="portfolio").on(phase="marks")(a_slice)
    with pytest.raises(ConfigError, match="awaits: write def, not async def"):
        AgentPool("p").step("wait")(awaits)


async def test_a_handler_per_run_gets_what_the_run_trades_with_a_state_of_its_own() -> None:
    pool = AgentPool("p", role="alpha")

    @pool.on
    def decide(bar: Bar, run: Run, count: Count, context: Context) -> Signal | None:
        count.seen += 1
        assert context.event is not None
        assert context.ts == run.ts == bar.ts_event
        return opinion(run, bar.instrument_id, count.seen)

    runs = [started("one", [A], alpha_pool="p"), started("two", [A, B], alpha_pool="p"), started("other", [A])]
    plane = await fed(pool, runs=runs)
    seen = {run: [s.price for s in plane.of(Signal) if s.run_id == run] for run in ("one", "two")}
    assert seen == {"one": [1, 2, 3, 4, 5, 6], "two": list(range(1, 13))}


async def test_what_a_handler_returns_names_its_cause_and_its_run() -> None:
    pool = AgentPool("p", role="alpha")

    @pool.on
    def each(bar: Bar, run: Run) -> Iterator[Signal]:
        yield opinion(run, bar.instrument_id, 1.0)
        yield opinion(run, bar.instrument_id, 2.0)

    plane = await fed(pool, DAYS[:1])
    events = [event for event in plane.events("signals") if event.envelope.source == "p"]
    rows = [bar_id(row) for row in DAYS[0]]
    assert [event.envelope.causation_id for event in events] == [rows[0], rows[0], rows[1], rows[1]]
    assert len({event.envelope.message_id for event in events}) == 4
    assert (await fed(pool, DAYS[:1])).ids("signals") == plane.ids("signals")
    assert {(event.envelope.correlation_id, event.envelope.slice) for event in events} == {("r", DAYS[0][0].ts_event)}


async def test_a_slice_handler_gets_the_whole_slice_and_may_name_a_row() -> None:
    pool = AgentPool("p", role="alpha")

    @pool.on
    def decide(slice_: Slice, run: Run) -> Iterator[Signal | Because]:
        assert slice_.session_date == f"2012-01-{DAYS.index(today(slice_)) + 1:02}"
        prices = slice_.prices["B.XNAS"]
        yield opinion(run, "A.XNAS", 1.0)
        yield Because(opinion(run, "B.XNAS", float(prices.values[-1])), prices.row_id)

    def today(slice_: Slice) -> list[Bar]:
        return [row for _, row in slice_.of(Bar)]

    plane = await fed(pool)
    events = [event for event in plane.events("signals") if event.envelope.source == "p"]
    causes = [event.envelope.causation_id for event in events]
    assert causes == [cause for day in DAYS for cause in (slice_id(day[0].ts_event), bar_id(day[1]))]
    assert [event.message.price for event in events[1::2]] == [row.close for _, row in DAYS]


async def test_a_union_and_a_block_of_ticks() -> None:
    pool, seen = AgentPool("p", role="alpha"), []

    @pool.on
    def decide(data: Bar | TickBlock, run: Run) -> Signal:
        seen.append(type(data).__name__)
        price = data.close if isinstance(data, Bar) else float(data.price[-1])
        return opinion(run, data.instrument_id, price)

    block = TickBlock(
        instrument_id="A.XNAS",
        source="test",
        synthetic=True,
        base_ts=START + 1,
        seq0=0,
        dt_ns=[0, 5],
        price=[10, 11],
        size=[1, 1],
        side=[1, 2],
    )
    plane = await fed(pool, [[block], [bar("A.XNAS", 3, 12)]])
    assert seen == ["TickBlock", "Bar"]
    assert [signal.price for signal in plane.of(Signal)] == [11, 12]
    first = min(plane.events("signals"), key=lambda event: event.message.ts_event)
    assert first.envelope.causation_id == tick_id(block, 0)


async def test_a_pool_without_a_role_takes_events_as_they_come() -> None:
    pool, counted = AgentPool("audit"), {}

    @pool.on
    def count(report: OrderFilled | OrderRejected, count: Count) -> SetKillSwitch | None:
        count.seen += 1
        counted[report.account_id] = count.seen
        if count.seen < 2:
            return None
        account = report.account_id
        return SetKillSwitch(workflow_id="halt", account_id=account, active=True, reason="two fills", ts_event=1)

    runs = [started("one", [A]), started("two", [A, B])]
    plane = Plane([*built_in(), pool])
    async with plane.running():
        await plane.announce(*runs)
        await plane.publish([[bar("A.XNAS", day, 100.0 + day), bar("B.XNAS", day, 50.0 + day)] for day in range(6)])
        fills = len(plane.of(OrderFilled))
        await plane.until(lambda: sum(counted.values()) == fills)
    assert counted == {"a-one": 1, "a-two": 2}
    (tripped,) = [event for event in plane.events("commands") if event.envelope.source == "audit"]
    (second,) = [e for e in plane.events("fills") if e.envelope.message_id == tripped.envelope.causation_id]
    assert isinstance(second.message, OrderFilled)
    assert tripped.envelope.correlation_id == tripped.message.account_id == "a-two"


async def test_a_pool_reads_every_partition_of_a_foreign_family() -> None:
    pool, seen = AgentPool("watch"), []

    @pool.on
    def both(event: Bar | PositionsUpdated, context: Context) -> None:
        seen.append((context.partition, type(event).__name__))

    partitions = {"account": 2, "instrument": 3, "workflow": 1, "single": 1}
    plane = Plane([*built_in(), pool], partitions)
    async with plane.running():
        await plane.announce(started("r", [A, B]))
        await plane.publish(DAYS)
        await plane.until(lambda: len(seen) == 2 * 12 + 6)
    assert [seen.count((partition, "Bar")) for partition in (0, 1)] == [12, 12]
    assert sorted(seen.count((partition, "PositionsUpdated")) for partition in (0, 1)) == [0, 6]
