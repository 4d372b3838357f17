"""Traces: from a fill back to the rows, the run and the command; and what an unknown id is told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from agents.context import bar_id, tick_id
from agents.data.synthetic import synthetic_instruments, synthetic_ticks
from agents.data.windows import windows
from infra.cli import trace as cli
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings
from orchestrator.strategy import TradingStrategy
from orchestrator.trace import Link, Log, chain, trace
from schemas import OrderDenied, OrderFilled, RiskLimits, Signal, StepCompleted, SubmitOrder
from streams.errors import ConfigError, MissingData
from streams.ids import slice_id
from streams.memory_broker import MemoryBroker
from streams.record import TopicPartition
from tests.dataplane import ONE, SERDE, START, Plane, instrument, record, sample, started

INSTRUMENTS, SLICES = sample(["AAPL", "MSFT"], "2012-01-03", "2012-04-30")


async def whole_system() -> MemoryBroker:
    """Run a strategy from its command to its fills in one process."""
    orchestrator = FinAgentOrchestrator(settings=Settings())
    await orchestrator.initialize()
    strategy = TradingStrategy("s", "Two names", symbols=["AAPL", "MSFT"], lookback_period=5)
    await orchestrator.start_strategy(strategy, run_id="mine", initial_cash=50_000)
    feed, broker = await orchestrator.feed(), orchestrator.broker
    assert isinstance(broker, MemoryBroker)
    await feed.publish(SLICES)
    last = SLICES[-1][0].ts_event
    async with asyncio.timeout(20):
        while not (log := broker._logs["positions"][0]) or SERDE.decode(log[-1].value).ts_event < last:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await orchestrator.shutdown()
    return broker


@pytest.fixture(scope="module")
def broker() -> MemoryBroker:
    return asyncio.run(whole_system())


def messages(broker: MemoryBroker, name: str) -> dict[str, object]:
    """Return messages by id, in the order of one partition."""
    log = broker.partition_log(TopicPartition(name, 0))
    return {dict(each.headers)["ce_id"].decode(): SERDE.decode(each.value) for each in log}


def shape(links: list[Link]) -> list[tuple[int, str]]:
    return [(link.depth, link.role) for link in links]


FILL = [
    (0, "fill"),
    (1, "matched on"),
    (1, "order"),
    (2, "proposal"),
    (3, "signal"),
    (4, "market data"),
    (1, "run"),
    (2, "workflow"),
    (3, "command"),
]


async def test_a_fill_leads_back_to_its_rows_and_its_command(broker: MemoryBroker) -> None:
    bars = {bar_id(bar): bar for rows in SLICES for bar in rows}
    for fill in messages(broker, "fills").values():
        if not isinstance(fill, OrderFilled):
            continue
        links = await trace(broker, SERDE, fill.fill_id)
        assert shape(links) == FILL
        _, matched, order, proposal, signal, data, run, workflow, command = links
        assert matched.message_id == fill.data_id
        assert order.message_id == fill.order_id
        submitted = messages(broker, "orders")[fill.order_id]
        assert isinstance(submitted, SubmitOrder)
        assert (proposal.message_id, signal.message_id) == (submitted.proposal_id, submitted.signal_id)
        caused = bars[data.message_id]
        assert caused.ts_event == data.ts == signal.ts == order.ts < bars[matched.message_id].ts_event
        assert f"close {caused.close:g}" in data.says
        assert (run.topic, workflow.topic, command.topic) == ("strategies", "workflows", "commands")
        assert workflow.says.startswith("workflow mine completed: fetch_data completed, ")
        assert command.says == "StartStrategy s (Two names) on AAPL, MSFT"
        for link in links:
            place = broker.partition_log(TopicPartition(link.topic, link.partition))[link.offset]
            assert dict(place.headers)["ce_id"].decode() == link.message_id


async def test_last_is_the_last_fill_and_the_beginning_of_an_id_is_enough(broker: MemoryBroker) -> None:
    fills = [each for each in messages(broker, "fills").values() if isinstance(each, OrderFilled)]
    newest = max(fills, key=lambda fill: fill.ts_event)
    links = await trace(broker, SERDE, "last")
    assert links[0].ts == newest.ts_event
    assert await trace(broker, SERDE, links[0].message_id[:13]) == links


@pytest.mark.parametrize(
    ("topic", "kind", "expected"), [("orders", SubmitOrder, FILL[2:]), ("signals", Signal, FILL[4:])]
)
async def test_an_order_and_a_signal_are_traced_too(
    broker: MemoryBroker, topic: str, kind: type, expected: list[tuple[int, str]]
) -> None:
    name = next(name for name, message in messages(broker, topic).items() if isinstance(message, kind))
    assert [role for _, role in shape(await trace(broker, SERDE, name))] == [role for _, role in expected]


async def test_a_row_shows_what_it_led_to(broker: MemoryBroker) -> None:
    fill = next(each for each in messages(broker, "fills").values() if isinstance(each, OrderFilled))
    links = await trace(broker, SERDE, fill.data_id)
    assert links[0].role == "market data"
    assert links[0].topic == "bars"
    assert {link.role for link in links[1:]} == {"led to fill", "led to signal"}


async def test_a_step_leads_back_to_its_command(broker: MemoryBroker) -> None:
    results = messages(broker, "results")
    name = next(n for n, m in results.items() if isinstance(m, StepCompleted) and m.step_id == "estimate_cost")
    roles = [role for _, role in shape(await trace(broker, SERDE, name))]
    assert roles[:3] == ["StepCompleted", "RunStep", "StepCompleted"]
    assert roles[-2:] == ["command", "workflow"]


@pytest.mark.parametrize("wanted", ["no-such-id", "", "00000000-0000-0000-0000-000000000000"])
async def test_an_unknown_id_is_told_what_there_is(broker: MemoryBroker, wanted: str) -> None:
    last = (await trace(broker, SERDE, "last"))[0]
    with pytest.raises(MissingData) as error:
        await trace(broker, SERDE, wanted)
    assert repr(wanted) in str(error.value)
    assert "the last fills are: " in str(error.value)
    assert f"{last.message_id} ({last.says})" in str(error.value)


async def test_a_beginning_that_several_ids_share_is_told_them() -> None:
    signals = [
        record(
            Signal(
                run_id="r",
                strategy_id="s",
                account_id="a",
                instrument_id="A.XNAS",
                signal="BUY",
                score=1,
                confidence=1,
                price=price,
                model="m",
                ts_event=START,
            ),
            message_id=f"same-{price}",
        )
        for price in (1, 2)
    ]
    plane = Plane([])
    await plane.create()
    await plane.broker.publish(signals)
    with pytest.raises(MissingData, match=r"ids that begin so: same-1, same-2; it has no fill among its 2 messages"):
        await trace(plane.broker, SERDE, "same")
    (link,) = await trace(plane.broker, SERDE, "same-1")
    assert link.role == "signal"
    with pytest.raises(MissingData, match="no single message 'last'"):
        await trace(plane.broker, SERDE, "last")


async def test_a_denial_is_traced_by_its_own_id_and_by_the_proposals() -> None:
    plane = Plane()
    limits = RiskLimits(max_order_notional=1_000)
    async with plane.running():
        await plane.announce(started("r", INSTRUMENTS, limits=limits))
        await plane.publish(SLICES[:20])
    denied = next(event for event in plane.events("risk") if isinstance(event.message, OrderDenied))
    links = await trace(plane.broker, SERDE, denied.envelope.message_id)
    assert [role for _, role in shape(links)] == ["denial", "proposal", "signal", "market data", "run"]
    assert "denied, MAX_ORDER_NOTIONAL: " in links[0].says
    assert isinstance(denied.message, OrderDenied)
    assert await trace(plane.broker, SERDE, denied.message.proposal_id) == links


async def test_a_tick_is_found_within_its_block_on_any_partition() -> None:
    instruments = synthetic_instruments(["SIMA", "SIMB"])
    sliced = list(windows(synthetic_ticks(["SIMA", "SIMB"], 2000, seed=3, start_ns=START), 5 * 10**9))
    plane = Plane(partitions={**ONE, "account": 2, "instrument": 3})
    async with plane.running():
        run = started("r", instruments, strategy_type="ema_cross", parameters={"fast": 20, "slow": 100})
        await plane.announce(run)
        await plane.publish(sliced)
    rows = {tick_id(block, i): (block, i) for rows in sliced for block in rows for i in range(len(block))}
    fills = plane.of(OrderFilled)
    assert len(fills) > 3
    for fill in fills:
        links = await trace(plane.broker, SERDE, fill.fill_id)
        assert shape(links) == FILL[:7]
        for link in (links[1], links[5]):
            block, row = rows[link.message_id]
            assert f"{block.size[row]:g} at {block.price[row]:g}, 2012-01-01T00:" in link.says
            assert f"row {row + 1} of {len(block)} in its block, sequence {block.seq0 + row}, synthetic" in link.says
            assert link.ts == block.base_ts + int(block.dt_ns[row])
            stored = plane.broker.partition_log(TopicPartition("ticks", link.partition))[link.offset]
            assert SERDE.decode(stored.value) == block
        assert links[1].ts == fill.ts_event > links[5].ts


async def test_a_decision_on_a_whole_slice_and_a_row_that_is_gone(broker: MemoryBroker) -> None:
    plane = Plane([])
    await plane.create()
    await plane.announce(started("r", [instrument("A")]))
    (name,) = await plane.say(started("q", [instrument("A")]))
    assert [link.role for link in await trace(plane.broker, SERDE, name)] == ["run"]
    fills = MemoryBroker()
    fills._logs = {name: log if name != "bars" else [[]] for name, log in broker._logs.items()}
    links = await trace(fills, SERDE, "last")
    gone = [link for link in links if not link.topic]
    assert [(link.role, link.says) for link in gone] == [
        ("matched on", "no longer on the log"),
        ("market data", "no longer on the log"),
    ]
    position = next(iter(messages(broker, "positions")))
    (state, cause) = await trace(broker, SERDE, position)
    assert state.role == "PositionsUpdated"
    assert (cause.role, cause.message_id) == ("slice", slice_id(SLICES[0][0].ts_event))


def test_chain_is_a_function_of_events_alone() -> None:
    with pytest.raises(MissingData, match="it has no fill among its 0 messages"):
        chain(Log([]), "x")


@pytest.fixture
def log_file(broker: MemoryBroker, tmp_path: Path) -> Path:
    path = tmp_path / "log.avro"
    broker.save(path)
    return path


def run(*arguments: str) -> object:
    app = typer.Typer()
    app.command()(cli.trace)
    return CliRunner().invoke(app, list(arguments))


def test_the_command_prints_a_line_for_each_link(log_file: Path) -> None:
    result = run("last", "--log", str(log_file))
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"{'  ' * depth}{role}" for depth, role in FILL]
    assert "(bars[0]@" in lines[1]


def test_the_command_prints_json(log_file: Path) -> None:
    links = json.loads(run("last", "--log", str(log_file), "--json").output)
    assert [(link["depth"], link["role"]) for link in links] == FILL
    assert set(links[0]) == {*Link.__dataclass_fields__, "time"}
    assert links[5]["time"].endswith("Z")


def test_the_command_reads_the_demos_log(log_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"no log at .*log.avro: run `finagent demo` first"):
        raise run("last").exception
    cli.DEMO_LOG.parent.mkdir(parents=True)
    log_file.rename(cli.DEMO_LOG)
    assert run("last").exit_code == 0


def test_the_command_says_what_an_unknown_id_could_be(log_file: Path) -> None:
    result = run("nope", "--log", str(log_file))
    assert result.exit_code == 1
    assert isinstance(result.exception, MissingData)


def test_a_terminal_gets_a_tree(broker: MemoryBroker) -> None:
    links = asyncio.run(trace(broker, SERDE, "last"))
    root = cli._tree(links)
    assert [child.label.plain.split(":")[0] for child in root.children] == ["matched on", "order", "run"]
    deepest = root.children[1].children[0].children[0].children[0]
    assert deepest.label.plain.startswith("market data: 1d bar of ")
