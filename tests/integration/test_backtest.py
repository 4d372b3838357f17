"""Backtests by the one-process replay: parity with the live path, the same from any source, no look-ahead."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agents.context import Run, Slice
from agents.data.feed import Feed, Row
from agents.data.fetch import FetchParameters, fetch
from agents.data.slicing import bar_slices
from agents.data.sources import CsvProvider, SampleProvider
from agents.pool import AgentPool
from infra.cli.app import run as finagent
from orchestrator import FinAgentOrchestrator, SandboxEnvironment, SandboxMode, TestScenario
from orchestrator.artifacts import write
from orchestrator.backtest import Backtest, BacktestPlan, run_backtest
from orchestrator.client import Client
from orchestrator.lookahead import check_lookahead
from orchestrator.market_log import instruments_of_log, slices_of_log
from orchestrator.recording import Recording
from orchestrator.replay import Replay
from orchestrator.republish import Range, republish
from orchestrator.settings import Settings, load
from orchestrator.strategy import TradingStrategy
from orchestrator.strategy_file import load_strategy
from orchestrator.wiring import all_kinds, context_of, partitions_of, pools_of
from schemas import Bar, KillSwitchSet, Signal, StopStrategy
from streams.broker import Broker
from streams.clock import ManualClock, WallClock
from streams.errors import ConfigError, FinAgentError, InvalidData, MissingData
from streams.host import create_topology
from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.memory_broker import MemoryBroker
from streams.record import Event, TopicPartition
from streams.serde import Serde
from tests.dataplane import record
from tests.system.cluster import DECISIONS, SYMBOLS, decisions, half_year, rotation, run

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "examples" / "strategies").glob("*.yaml"))


@pytest.fixture
def settings() -> Settings:
    return load(overrides={"log_level": "WARNING"}, environ={})


def plan(settings: Settings, strategy: TradingStrategy | None = None, pool: str = "alpha", **more: Any) -> BacktestPlan:
    fetched = fetch(SampleProvider(), FetchParameters(symbols=SYMBOLS, start="2012-01-03", end="2012-06-29"))
    return BacktestPlan(
        strategy=strategy or rotation(),
        instruments=fetched.instruments,
        settings=settings,
        source=fetched.provider,
        initial_cash=100_000.0,
        alpha_pool=pool,
        **more,
    )


async def following(slices: Sequence[Sequence[Row]]) -> AsyncIterator[Sequence[Row]]:
    for rows in slices:
        yield rows


async def test_a_replay_decides_byte_for_byte_what_the_live_path_decides(settings: Settings) -> None:
    live = FinAgentOrchestrator(settings=settings)
    await live.initialize()
    try:
        events = await run(live, half_year())
        started = (await live.start_strategy(rotation(), check_history=False, run_id="again")).model_copy(
            update={"run_id": "rotation", "account_id": "acct-rotation", "initial_cash": 100_000.0}
        )
    finally:
        await live.shutdown()
    found: dict[str, bytes] = {}
    serde = Serde()

    def note(topic: str, event: Event) -> None:
        if topic in DECISIONS:
            found[f"{topic} {event.envelope.message_id}"] = serde.encode(event.message)

    replay = Replay(pools_of(settings), [started], note)
    for rows in half_year():
        replay.slice(rows)
    assert found == decisions(events)


@pytest.mark.kafka
async def test_csv_parquet_and_a_kafka_topic_give_the_same_equity(
    settings: Settings, kafka_bootstrap: str, prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars = [bar for rows in half_year() for bar in rows]
    table = pd.DataFrame(
        {
            "symbol": [bar.instrument_id.split(".")[0] for bar in bars],
            "date": [bar.session_date for bar in bars],
            **{name: [getattr(bar, name) for bar in bars] for name in ("open", "high", "low", "close", "volume")},
        }
    )
    table.to_csv(tmp_path / "bars.csv", index=False)
    table.to_parquet(tmp_path / "bars.parquet", index=False)
    strategy = ROOT / "examples" / "strategies" / "momentum.yaml"
    results = [
        await asyncio.to_thread(command, capsys, "backtest", str(strategy), "--source", str(tmp_path / name), "--json")
        for name in ("bars.csv", "bars.parquet")
    ]
    for partitions in (1, 3, 8):
        broker = KafkaBroker(KafkaOptions(kafka_bootstrap, prefix=f"{prefix}{partitions}."))
        await broker.start()
        try:
            results.append(await on_topic(broker, settings, strategy, partitions, tmp_path / "bars.csv"))
        finally:
            await broker.stop()
    assert len({result["final_equity"] for result in results}) == 1
    assert len({result["manifest"]["data_sha256"] for result in results}) == 1
    assert results[0]["fills"] > 10


async def on_topic(broker: Broker, settings: Settings, strategy: Path, partitions: int, file: Path) -> dict[str, Any]:
    counts = {**partitions_of(settings), "instrument": partitions}
    await create_topology(broker, counts, all_kinds(pools_of(settings), context_of(settings)))
    fetched = fetch(CsvProvider(file), FetchParameters(symbols=SYMBOLS, start="2012-01-03", end="2012-06-29"))
    async with Feed.open(broker, counts, WallClock(), Serde()) as feed:
        await feed.reference_data(fetched.instruments)
        await feed.publish(bar_slices([bar for block in fetched.blocks for bar in block.bars()]))
    loaded = load_strategy(strategy)
    known = {each.symbol: each for each in await instruments_of_log(broker, Serde())}
    made = BacktestPlan(
        strategy=loaded.strategy,
        instruments=tuple(known[symbol] for symbol in loaded.strategy.symbols),
        settings=settings,
        source="topic",
        initial_cash=loaded.run.initial_cash or settings.sandbox.initial_capital,
    )
    first = (await run_backtest(made, slices_of_log(broker, Serde()), pools_of(settings))).result()
    copied = await republish(broker, Serde(), WallClock(), Range("copy"))
    assert copied[0] == first["manifest"]["slices"]
    copy = slices_of_log(broker, Serde(), prefix=Range("copy").prefix)
    again = (await run_backtest(made, copy, pools_of(settings))).result()
    assert again == first, "a backtest on the republished topics is the backtest on the topics"
    return first


async def published() -> MemoryBroker:
    """Return a log with 20 slices, and a command recorded after the tenth."""
    broker, serde, clock = MemoryBroker(), Serde(), ManualClock(1_000_000_000)
    counts = {"instrument": 2, "account": 1, "workflow": 1, "single": 1}
    await create_topology(broker, counts, ())
    async with Feed.open(broker, counts, clock, serde) as feed, Client.open(broker, serde, clock) as client:
        for number, rows in enumerate(half_year()[:20]):
            clock.advance_to((number + 1) * 1_000_000_000)
            await feed.publish([rows])
            if number == 9:
                clock.advance_to(clock.now() + 1_000_000)
                await client.submit(StopStrategy(workflow_id="w", ts_event=1, run_id="w"))
    return broker


async def test_a_replay_copies_a_range_with_its_commands_in_their_place() -> None:
    broker = await published()
    slices = half_year()[:20]
    start, end = slices[5][0].ts_event, slices[15][0].ts_event
    clock = WallClock()
    copied, _ = await republish(broker, Serde(), clock, Range("r", start, end, commands=True))
    assert copied == 10
    rows = [rows async for rows in slices_of_log(broker, Serde(), prefix="bt.r.")]
    assert [row for each in rows for row in each] == [row for each in slices[5:15] for row in each]
    (command,) = broker.partition_log(TopicPartition("bt.r.commands", 0))
    (original,) = broker.partition_log(TopicPartition("commands", 0))
    assert (command.value, command.headers) == (original.value, original.headers)
    closings = [
        record.offset
        for record in broker.partition_log(TopicPartition("bars", 0))
        if dict(record.headers)["ce_type"] == b"finagent.SliceClosed"
    ]
    await republish(broker, Serde(), clock, Range("o", start_offset=closings[3], end_offset=closings[7]))
    rows = [rows async for rows in slices_of_log(broker, Serde(), prefix="bt.o.")]
    assert [row for each in rows for row in each] == [row for each in slices[3:7] for row in each]
    with pytest.raises(ConfigError, match="was replayed before"):
        await republish(broker, Serde(), clock, Range("r"))
    with pytest.raises(MissingData, match="no slice in the range"):
        await republish(broker, Serde(), clock, Range("empty", start=end * 2))


async def test_a_backtest_on_the_log_obeys_the_halts_of_an_account_where_asked(settings: Settings) -> None:
    broker, serde, counts = MemoryBroker(), Serde(), {**partitions_of(settings), "instrument": 2}
    await create_topology(broker, counts, ())
    slices = half_year()[:40]
    word = KillSwitchSet(account_id="live", active=True, reason="x", command_id="c", ts_event=1)
    async with Feed.open(broker, counts, ManualClock(1), serde) as feed:
        await feed.publish(slices[:15])
        await broker.publish([record(word), record(word.model_copy(update={"account_id": "other", "command_id": "d"}))])
        await feed.close_empty()
        await feed.publish(slices[15:30])
        await broker.publish([record(word.model_copy(update={"active": False, "command_id": "e"}))])
        await feed.publish(slices[30:])

    async def ran(account: str = "", prefix: str = "") -> Backtest:
        read = slices_of_log(broker, serde, account=account, prefix=prefix)
        return await run_backtest(plan(settings), read, pools_of(settings))

    plain, halted = await ran(), await ran("live")
    days = [rows[0].ts_event for rows in slices]
    assert plain.slices == 40
    assert not [denial for denial in plain.denials if denial.code == "KILL_SWITCH"]
    stopped = {days.index(denial.ts_event) for denial in halted.denials if denial.code == "KILL_SWITCH"}
    assert stopped
    assert stopped <= set(range(15, 30))
    ordered = {days.index(order.ts_event) for order in halted.orders}
    assert ordered & set(range(15))
    assert not ordered & set(range(15, 30))
    assert ordered & set(range(30, 40))
    assert (halted.slices, halted.trips) == (41, 1)
    assert halted.data_hash != plain.data_hash
    never = await ran("nobody")
    assert (never.data_hash, never.orders) == (plain.data_hash, plain.orders)
    await republish(broker, serde, WallClock(), Range("copy"))
    again = await ran("live", prefix="bt.copy.")
    assert (again.orders, again.equity, again.data_hash) == (halted.orders, halted.equity, halted.data_hash)


async def test_what_fills_at_the_last_close_is_in_the_final_state(settings: Settings) -> None:
    slices, planned = half_year()[:40], plan(settings, fill="same_close")
    heard = Recording(planned.run())
    done = await run_backtest(planned, following(slices), pools_of(settings, "same_close"), heard)
    last = slices[-1][0].ts_event
    assert [fill for fill in done.fills if fill.ts_event == last]
    course, state = heard.course(), heard.last_state
    assert state is not None
    assert course.equity[-1] == done.final_equity == state.equity
    assert course.times.tolist() == list(done.times) == [rows[0].ts_event for rows in slices]
    held = dict.fromkeys({fill.instrument_id for fill in done.fills}, 0.0)
    cash = planned.initial_cash
    for fill in done.fills:
        units = fill.quantity if fill.side == "BUY" else -fill.quantity
        held[fill.instrument_id] += units
        cash -= units * fill.price + fill.commission
    assert state.cash == pytest.approx(cash, abs=1e-6)
    assert {each.instrument_id: each.quantity for each in state.positions} == {n: q for n, q in held.items() if q}
    # No decision knows of it: more slices decide the same.
    more = await run_backtest(planned, following(half_year()[:41]), pools_of(settings, "same_close"))
    assert more.orders[: len(done.orders)] == done.orders


async def test_a_replay_keeps_the_pace_that_is_asked_for() -> None:
    broker = await published()
    slices = half_year()[:20]
    span = slices[19][0].ts_event - slices[0][0].ts_event
    clock = WallClock()
    began = clock.now()
    await republish(broker, Serde(), clock, Range("paced", speed=span / 300_000_000))
    assert clock.now() - began >= 300_000_000


async def test_two_runs_write_the_same_bytes(settings: Settings, tmp_path: Path) -> None:
    for name in ("one", "two"):
        done = await run_backtest(plan(settings), following(half_year()), pools_of(settings))
        files = write(done, tmp_path / name)
    for path in files:
        assert path.read_bytes() == (tmp_path / "one" / path.name).read_bytes(), path.name
    assert done.manifest()["data"] == "real"


async def test_the_manifest_says_what_the_rows_say_of_their_origin(settings: Settings) -> None:
    real = half_year()[:20]
    made_up = [[bar.model_copy(update={"synthetic": True}) for bar in rows] for rows in real]
    for slices, says in ((real, "real"), (made_up, "synthetic"), (real[:10] + made_up[10:], "real and synthetic")):
        done = await run_backtest(plan(settings), following(slices), pools_of(settings))
        assert done.manifest()["data"] == says


async def test_a_strategy_that_does_nothing_is_flat(settings: Settings) -> None:
    idle = AgentPool("idle", role="alpha")

    @idle.on
    def hold(slice_: Slice, run: Run) -> None:
        return None

    done = await run_backtest(plan(settings, pool="idle"), following(half_year()), [*pools_of(settings), idle])
    assert (done.orders, done.fills, set(done.equity)) == ([], [], {100_000.0})


def peeking(slices: Sequence[Sequence[Row]]) -> AgentPool:
    """Return a pool that buys what rises tomorrow."""
    pool = AgentPool("peeking", role="alpha")
    closes = [{row.instrument_id: row.close for row in rows if isinstance(row, Bar)} for rows in slices]
    times = {max(row.ts_event for row in rows): number for number, rows in enumerate(slices)}

    @pool.on
    def decide(slice_: Slice, run: Run) -> Iterator[Signal]:
        today = times[slice_.ts]
        tomorrow = closes[min(today + 1, len(closes) - 1)]
        for name, price in closes[today].items():
            said = "BUY" if tomorrow[name] > price else "SELL"
            yield run.signal(name, said, price=price, score=tomorrow[name] / price - 1, confidence=1.0)

    return pool


def test_an_agent_that_peeks_one_bar_ahead_is_caught(settings: Settings) -> None:
    slices: list[Sequence[Row]] = list(half_year())

    def pools(variant: Sequence[Sequence[Row]]) -> list[AgentPool]:
        return [*pools_of(settings), peeking(variant)]

    findings = check_lookahead(plan(settings, pool="peeking"), slices, pools, cuts=3)
    assert {finding.test for finding in findings} == {"prefix", "perturbed"}
    assert "Signal" in str(findings[0])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_no_shipped_strategy_sees_the_future(path: Path, settings: Settings) -> None:
    loaded = load_strategy(path)
    fetched = fetch(
        SampleProvider(),
        FetchParameters(symbols=tuple(loaded.strategy.symbols), start="2011-06-01", end="2012-06-29"),
    )
    made = BacktestPlan(loaded.strategy, fetched.instruments, settings, fetched.provider, 100_000.0)
    slices: list[Sequence[Row]] = list(bar_slices([bar for block in fetched.blocks for bar in block.bars()]))
    assert check_lookahead(made, slices, lambda _: pools_of(settings), cuts=2) == []


async def test_example_3_backtesting_with_the_sandbox() -> None:
    orchestrator = FinAgentOrchestrator()
    await orchestrator.initialize()
    sandbox = SandboxEnvironment(orchestrator)
    scenario = TestScenario(
        scenario_id="momentum_backtest",
        name="Momentum Strategy Backtest",
        mode=SandboxMode.HISTORICAL_BACKTEST,
        parameters={
            "start_date": "2012-01-01",
            "end_date": "2012-12-31",
            "symbols": ["AAPL", "GOOGL", "MSFT"],
            "initial_capital": 100000,
            "strategy_type": "momentum",
        },
    )
    result = await sandbox.run_test_scenario(scenario)
    performance = result["performance_metrics"]
    assert f"{performance['total_return']:.2%} {performance['sharpe_ratio']:.2f} {performance['max_drawdown']:.2%}"
    assert result["status"] == "completed"
    assert performance["final_value"] == pytest.approx(100_000 * (1 + performance["total_return"]))
    assert result["manifest"]["rows"] == 750
    other = await sandbox.run_backtest({**scenario.parameters, "strategy_type": "buy_and_hold"})
    assert other["performance_metrics"]["total_return"] != performance["total_return"]
    await orchestrator.shutdown()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"end_date": "2011-12-31"}, "is before start_date"),
        ({"start_date": "2020-01-01", "end_date": "2020-12-31"}, "2013-03-01"),
        ({"symbols": ["TSLA"]}, "AAPL"),
        ({"initial_capital": 0}, "initial_capital"),
        ({"symbol": ["AAPL"]}, "symbols"),
        ({"strategy_type": "momentun"}, "momentum"),
    ],
)
async def test_what_is_wrong_is_named(change: dict[str, Any], says: str, settings: Settings) -> None:
    orchestrator = FinAgentOrchestrator(settings=settings)
    config = {"start_date": "2012-01-03", "end_date": "2012-12-31", "symbols": ["AAPL"], **change}
    with pytest.raises(FinAgentError, match=says):
        await SandboxEnvironment(orchestrator).run_backtest(config)


def test_time_going_backwards_is_refused(settings: Settings) -> None:
    slices = half_year()
    replay = Replay(pools_of(settings), [plan(settings).run()], lambda topic, event: None)
    replay.slice(slices[1])
    with pytest.raises(InvalidData, match="time goes backwards"):
        replay.slice(slices[0])


def test_a_replay_without_its_pools_is_refused(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="a replay needs the pools own"):
        Replay(pools_of(settings), [plan(settings, pool="own").run()], lambda topic, event: None)


def test_the_fill_rule_changes_the_result(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    strategy = str(ROOT / "examples" / "strategies" / "momentum.yaml")
    period = ("--start", "2012-01-03", "--end", "2012-06-29", "--json")
    at = {
        rule: command(capsys, "backtest", strategy, *period, "--fill", rule)
        for rule in ("next_open", "next_close", "same_close")
    }
    assert len({result["final_equity"] for result in at.values()}) == 3
    assert {rule: result["manifest"]["fill"] for rule, result in at.items()} == {rule: rule for rule in at}


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        finagent(arguments)
    assert ended.value.code == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_a_fill_rule_that_never_fills_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    strategy = str(ROOT / "examples" / "strategies" / "momentum.yaml")
    with pytest.raises(SystemExit) as ended:
        finagent(("backtest", strategy, "--end", "2012-12-31", "--start", "2012-01-03", "--fill", "next_tick"))
    assert ended.value.code == 1
    assert "next_tick needs ticks and the source has bars" in capsys.readouterr().err


def test_a_parameter_is_set_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    strategy = str(ROOT / "examples" / "strategies" / "momentum.yaml")
    period = ("--start", "2012-01-03", "--end", "2012-06-29", "--json")
    results = [command(capsys, "backtest", strategy, *period, "--set", f"position_size={size}") for size in (0.1, 0.2)]
    assert results[0]["final_equity"] != results[1]["final_equity"]
