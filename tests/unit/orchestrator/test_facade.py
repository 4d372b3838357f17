"""The facade, embedded: everything in this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pandas as pd
import pytest

from agents.pool import AgentPool
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings
from orchestrator.strategy import TradingStrategy
from schemas import OrderFilled, TickBlock
from streams.errors import ConfigError, InvalidData, UnknownSymbol, WorkflowError
from streams.tail import tail
from tests.dataplane import START, bar, sample


@pytest.fixture
async def orchestrator() -> AsyncIterator[FinAgentOrchestrator]:
    made = FinAgentOrchestrator(settings=Settings())
    await made.initialize()
    yield made
    await made.shutdown()


def strategy(**changed: Any) -> TradingStrategy:
    fields: dict[str, Any] = {"strategy_id": "s", "name": "S", "symbols": ["AAPL", "GOOGL", "MSFT"]}
    return TradingStrategy(**{**fields, **changed})


async def test_orchestrator_initialization() -> None:
    orchestrator = FinAgentOrchestrator()
    try:
        assert await orchestrator.initialize() is None  # type: ignore[func-returns-value]
        client, broker = orchestrator._client, orchestrator.broker
        await orchestrator.initialize()
        assert (orchestrator._client, orchestrator.broker) == (client, broker)
        assert await orchestrator.get_active_strategies() == []
        assert (await orchestrator.get_health_status())["status"] in ("healthy", "degraded")
    finally:
        await orchestrator.shutdown()


async def test_shutdown_ends_everything_and_may_be_repeated() -> None:
    orchestrator = FinAgentOrchestrator(settings=Settings())
    await orchestrator.shutdown()
    await orchestrator.initialize()
    host = orchestrator._host
    assert host is not None
    await orchestrator.shutdown()
    await orchestrator.shutdown()
    assert host.stop.is_set()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert (await orchestrator.get_health_status())["status"] == "critical"
    with pytest.raises(ConfigError, match="the orchestrator is not initialized"):
        await orchestrator.execute_strategy(strategy())
    await orchestrator.initialize()
    assert (await orchestrator.execute_strategy(strategy()))["status"] == "completed"
    await orchestrator.shutdown()


async def test_everything_but_health_needs_initialize() -> None:
    orchestrator = FinAgentOrchestrator(settings=Settings())
    for call in (
        orchestrator.execute_strategy(strategy()),
        orchestrator.execute_workflow({"steps": []}),
        orchestrator.get_active_strategies(),
        orchestrator.start_strategy(strategy()),
        orchestrator.stop_strategy("r"),
        orchestrator.process_realtime_data([]),
        orchestrator.feed(),
    ):
        with pytest.raises(ConfigError, match="the orchestrator is not initialized"):
            await call
    assert await orchestrator.get_health_status() == {
        "status": "critical",
        "reasons": ["not initialized"],
        "tasks": [],
    }
    assert (await orchestrator.get_performance_metrics())["total_executed"] == 0


async def test_a_pool_is_registered_before_initialize(orchestrator: FinAgentOrchestrator) -> None:
    with pytest.raises(ConfigError, match="register pool 'late' before initialize"):
        orchestrator.register_agent_pool(AgentPool("late"))


async def test_the_result_of_a_strategy_has_the_documented_keys(orchestrator: FinAgentOrchestrator) -> None:
    result = await orchestrator.execute_strategy(strategy())
    assert result["strategy_id"] == "s"
    assert result["status"] == "completed"
    assert result["execution_time"] > 0
    assert [set(each) >= {"symbol", "signal", "confidence"} for each in result["signals"]] == [True] * 3
    assert {each["symbol"] for each in result["signals"]} == {"AAPL", "GOOGL", "MSFT"}
    assert set(result["risk_metrics"]) >= {"var_95", "max_drawdown", "volatility", "sharpe_ratio"}
    assert set(result["transaction_costs"]) >= {"commission", "market_impact", "slippage", "total_cost"}
    assert result["data"]["source"] == "sample:bokeh-sampledata"
    assert result["data"]["synthetic"] is False
    assert result["timestamp"].endswith("Z")
    assert "error" not in result


async def test_signals_come_from_the_data(orchestrator: FinAgentOrchestrator) -> None:
    _, slices = sample(["AAPL", "GOOGL", "MSFT"], "2012-12-03", "2013-03-01")
    result = await orchestrator.execute_strategy(strategy(lookback_period=20))
    for signal in result["signals"]:
        closes = [each.close for rows in slices for each in rows if each.instrument_id == signal["instrument_id"]]
        assert signal["score"] == pytest.approx(closes[-1] / closes[-21] - 1, rel=1e-12)


@pytest.mark.parametrize("key", ["momentum_threshold", "threshold", "signal_threshold"])
async def test_the_threshold_changes_the_signals(orchestrator: FinAgentOrchestrator, key: str) -> None:
    found = {}
    for value in (0.0, 0.5):
        result = await orchestrator.execute_strategy(strategy(parameters={key: value}))
        found[value] = [each["signal"] for each in result["signals"]]
    assert set(found[0.5]) == {"HOLD"}
    assert set(found[0.0]) <= {"BUY", "SELL"}


async def test_the_position_size_bounds_each_weight(orchestrator: FinAgentOrchestrator) -> None:
    weights = {}
    for size in (0.1, 0.33):
        parameters = {"momentum_threshold": 0.0, "position_size": size}
        result = await orchestrator.execute_strategy(strategy(lookback_period=120, parameters=parameters))
        weights[size] = [target["weight"] for target in result["targets"]]
    assert weights[0.1]
    assert len(weights[0.1]) == len(weights[0.33])
    assert all(0.09 < weight <= 0.1 for weight in weights[0.1])
    assert all(0.3 < weight <= 0.33 for weight in weights[0.33])


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"symbols": ["NOPE"]}, "NOPE"),
        ({"parameters": {"strategy_type": "astrology"}}, "Unknown strategy_type 'astrology'"),
        ({"parameters": {"momentum_treshold": 0.02}}, "did you mean 'momentum_threshold'"),
        ({"lookback_period": 10_000}, "10001"),
    ],
)
async def test_a_failed_strategy_says_why(
    orchestrator: FinAgentOrchestrator, changed: dict[str, Any], why: str
) -> None:
    result = await orchestrator.execute_strategy(strategy(**changed))
    assert result["status"] == "failed"
    assert why in result["error"]
    assert result["signals"] == []
    metrics = await orchestrator.get_performance_metrics()
    assert (metrics["total_executed"], metrics["success_rate"]) == (1, 0.0)


async def test_an_unusable_definition_is_refused_at_once(orchestrator: FinAgentOrchestrator) -> None:
    with pytest.raises(ConfigError, match="symbols is empty"):
        await orchestrator.execute_strategy(strategy(symbols=[]))
    with pytest.raises(ConfigError, match="rebalance_frequency"):
        await orchestrator.execute_strategy(strategy(rebalance_frequency="hourly"))
    with pytest.raises(WorkflowError, match="NOPE"):
        await orchestrator.start_strategy(strategy(symbols=["NOPE"]))


async def test_an_unknown_pool_or_action_names_the_step(orchestrator: FinAgentOrchestrator) -> None:
    for step, why in (
        ({"agent_pool": "dta_agent_pool", "action": "fetch_market_data"}, "'data_agent_pool'"),
        ({"agent_pool": "data_agent_pool", "action": "fetch"}, "fetch_market_data"),
    ):
        result = await orchestrator.execute_workflow({"steps": [step]})
        assert result["status"] == "failed"
        assert f"1_{step['action']}" in result["error"]
        assert why in result["error"]


async def test_a_workflow_id_names_one_execution(orchestrator: FinAgentOrchestrator) -> None:
    fetch = {"agent_pool": "data_agent_pool", "action": "fetch_market_data", "parameters": {"symbols": ["AAPL"]}}
    first = await orchestrator.execute_workflow({"workflow_id": "w", "steps": [fetch]})
    again = await orchestrator.execute_workflow({"workflow_id": "w", "steps": [fetch]})
    assert first == again
    assert first["status"] == "completed"


async def test_metrics_are_fractions_and_counts(orchestrator: FinAgentOrchestrator) -> None:
    before = await orchestrator.get_performance_metrics()
    assert (before["total_executed"], before["success_rate"], before["active_tasks"]) == (0, None, 0)
    await orchestrator.execute_strategy(strategy())
    metrics = await orchestrator.get_performance_metrics()
    assert 0 <= metrics["cpu_usage"] <= 1
    assert 0 < metrics["memory_usage"] < 1
    assert isinstance(metrics["active_tasks"], int)
    assert (metrics["total_executed"], metrics["success_rate"]) == (1, 1.0)


async def test_health_becomes_healthy_once_every_task_has_reported(orchestrator: FinAgentOrchestrator) -> None:
    async with asyncio.timeout(10):
        while (health := await orchestrator.get_health_status())["status"] != "healthy":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert health["reasons"] == []
    assert {"alpha", "portfolio", "risk", "execution"} <= {task["pool"] for task in health["tasks"]}


async def test_a_run_is_active_until_it_is_stopped(orchestrator: FinAgentOrchestrator) -> None:
    run = await orchestrator.start_strategy(strategy(), initial_cash=5_000, account_id="shared", run_id="mine")
    assert (run.run_id, run.initial_cash, run.account_id) == ("mine", 5_000, "shared")
    (active,) = await orchestrator.get_active_strategies()
    assert (active["run_id"], active["strategy_id"], active["symbols"]) == ("mine", "s", ["AAPL", "GOOGL", "MSFT"])
    await orchestrator.stop_strategy("mine")
    assert await orchestrator.get_active_strategies() == []


async def test_trades_of_a_live_feed_reach_a_run_and_fill_its_orders(orchestrator: FinAgentOrchestrator) -> None:
    parameters = {"strategy_type": "ema_cross", "fast": 1, "slow": 2}
    traded = strategy(symbols=["AAPL"], parameters=parameters, rebalance_frequency="bar")
    run = await orchestrator.start_strategy(traded, check_history=False)
    async with tail(orchestrator.broker, orchestrator.serde, ["ticks", "fills"]) as followed:
        last = -1
        for second, price in enumerate((10.0, 11.0, 12.0, 13.0, 9.0, 8.0, 8.0)):
            trade = {"symbol": "AAPL", "price": price, "quantity": 5, "timestamp": START + second * 10**9}
            ts = await orchestrator.process_realtime_data(trade)
            assert ts > last
            last = ts
            await followed.slice_done(ts, orchestrator.partitions)
        fills = [event.message for event in followed.events if isinstance(event.message, OrderFilled)]
        blocks = [event.message for event in followed.events if isinstance(event.message, TickBlock)]
    assert [fill.side for fill in fills] == ["BUY", "SELL"]
    assert {fill.run_id for fill in fills} == {run.run_id}
    assert [block.seq0 for block in blocks] == list(range(7))


async def test_what_a_live_feed_may_give(orchestrator: FinAgentOrchestrator) -> None:
    row = {"symbol": "AAPL", "price": 10.0, "quantity": 1, "timestamp": START}
    first = await orchestrator.process_realtime_data(pd.DataFrame([row, {**row, "symbol": "MSFT.XNAS"}]))
    assert first == START
    assert await orchestrator.process_realtime_data([]) == first
    second = await orchestrator.process_realtime_data([bar("IBM.XNYS", 1, 100.0), row])
    assert second == bar("IBM.XNYS", 1, 100.0).ts_event
    assert (await orchestrator.feed()).state.rows == {"ticks": 3, "bars": 1}
    with pytest.raises(UnknownSymbol, match="no active run and no provider knows 'XYZ'; known: AAPL, FB, GOOGL"):
        await orchestrator.process_realtime_data({**row, "symbol": "XYZ"})
    with pytest.raises(InvalidData, match="got str"):
        await orchestrator.process_realtime_data("AAPL 10")
    assert (await orchestrator.feed()).state.slices == 2


async def test_a_store_that_is_away_degrades_with_the_documented_warning(caplog: pytest.LogCaptureFixture) -> None:
    orchestrator = FinAgentOrchestrator({"redis": {"url": "redis://127.0.0.1:1/0"}, "kafka": {"bootstrap": ""}})
    with caplog.at_level(logging.WARNING, "FinAgentOrchestrator"):
        await orchestrator.initialize()
    try:
        warned = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "FinAgentOrchestrator"]
        assert warned[0] == ("WARNING", "Memory agent unavailable, running without persistence")
        assert (await orchestrator.execute_strategy(strategy()))["status"] == "completed"
        assert (await orchestrator.get_health_status())["status"] == "degraded"
    finally:
        await orchestrator.shutdown()
