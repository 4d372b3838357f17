"""The Prometheus text: read back by the library's own parser, from a system that really traded."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import prometheus_client
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from infra.observability import exposition
from infra.observability.exposition import own_page, text_of
from infra.observability.families import of_tasks, of_trading
from infra.observability.log_figures import MAX_ACCOUNTS, LogFigures
from infra.server.metrics import metrics_text
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings
from orchestrator.strategy import TradingStrategy
from schemas import OrderDenied, OrderFilled, PositionsUpdated
from streams.clock import WallClock
from streams.counts import Counts
from streams.errors import ConfigError
from streams.tail import tail
from tests.dataplane import sample
from tests.unit.schemas.example_messages import example

FOLLOWED = ("orders", "risk", "fills", "positions")


def families(text: bytes) -> dict[str, Any]:
    return {family.name: family for family in text_string_to_metric_families(text.decode())}


def samples(text: bytes) -> list[Sample]:
    return [each for family in families(text).values() for each in family.samples]


def value(text: bytes, name: str, **labels: str) -> float:
    found = [s.value for s in samples(text) if s.name == name and labels.items() <= s.labels.items()]
    assert len(found) == 1, (name, labels, found)
    return found[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scraped() -> AsyncIterator[tuple[bytes, LogFigures, dict[str, Any]]]:
    """Give one scrape of a system that traded a month, the figures of its log, and the last positions."""
    orchestrator, figures = FinAgentOrchestrator(settings=Settings()), LogFigures()
    await orchestrator.initialize()
    try:
        async with tail(orchestrator.broker, orchestrator.serde, FOLLOWED) as followed:
            strategy = TradingStrategy(
                strategy_id="s",
                name="S",
                symbols=["AAPL", "MSFT"],
                lookback_period=3,
                rebalance_frequency="bar",
                parameters={"top": 1, "position_size": 0.5},
            )
            await orchestrator.start_strategy(strategy, initial_cash=50_000, check_history=False, run_id="run")
            feed = await orchestrator.feed()
            _, slices = sample(("AAPL", "MSFT"), "2012-01-03", "2012-01-31")
            await feed.publish(slices)
            await followed.slice_done(feed.state.last_slice, orchestrator.partitions)
            step = {"agent_pool": "data_agent_pool", "action": "fetch_market_data", "parameters": {}}
            await orchestrator.execute_workflow({"workflow_id": "bad", "steps": [step]})
            for event in followed.events:
                figures.learn(event.message)
        await _reported(orchestrator, len(slices) * 2)
        state = next(e.message for e in reversed(followed.events) if isinstance(e.message, PositionsUpdated))
        fills = sum(isinstance(event.message, OrderFilled) for event in followed.events)
        known = {"state": state, "fills": fills, "bars": len(slices) * 2}
        yield await metrics_text(orchestrator, figures), figures, known
    finally:
        await orchestrator.shutdown()


async def _reported(orchestrator: FinAgentOrchestrator, bars: int) -> None:
    """Wait until the heartbeat tells of all bars."""
    async with asyncio.timeout(20):
        while True:
            told = {each["task"]: each["counts"]["messages"] for each in await orchestrator.task_reports()}
            if told.get("alpha.0", {}).get("bars") == told.get("execution.0", {}).get("bars") == bars:
                return
            await asyncio.sleep(0.05)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_it_tells_what_the_system_did(scraped: tuple[bytes, LogFigures, dict[str, Any]]) -> None:
    text, _, known = scraped
    bars = known["bars"]
    for task in ("alpha.0", "portfolio.0", "risk.0", "execution.0"):
        assert value(text, "finagent_messages_handled_total", task=task, topic="bars") == bars
        assert value(text, "finagent_lag_offsets", task=task, topic="bars") == 0
        assert value(text, "finagent_task_restarts_total", task=task) == 0
        assert value(text, "finagent_transactions_total", task=task, outcome="aborted") == 0
        assert value(text, "finagent_transactions_total", task=task, outcome="committed") > 0
    slices = bars / 2
    for pool, stage in (("alpha", "decide"), ("portfolio", "construct"), ("risk", "control"), ("execution", "match")):
        labels = {"pool": pool, "stage": stage}
        assert value(text, "finagent_handler_seconds_count", **labels) == slices
        assert value(text, "finagent_handler_seconds_bucket", le="+Inf", **labels) == slices
        assert 0 < value(text, "finagent_handler_seconds_sum", **labels) < 60
    assert value(text, "finagent_task_slice_timestamp_seconds", task="risk.0") == pytest.approx(
        known["state"].ts_event / 1e9
    )


async def test_it_tells_of_orders_money_and_workflows(scraped: tuple[bytes, LogFigures, dict[str, Any]]) -> None:
    text, figures, known = scraped
    state = known["state"]
    assert known["fills"] > 3
    assert value(text, "finagent_order_reports_total", report="filled") == known["fills"]
    submitted = sum(value(text, "finagent_orders_submitted_total", side=side) for side in ("BUY", "SELL"))
    assert submitted == sum(figures.orders.values()) >= known["fills"]
    assert value(text, "finagent_order_denials_total", code="KILL_SWITCH") == 0
    labels = {"account": state.account_id, "currency": "USD"}
    assert value(text, "finagent_account_equity", **labels) == state.equity
    assert value(text, "finagent_account_profit", **labels) == state.equity - 50_000
    assert value(text, "finagent_active_strategies") == 1
    assert value(text, "finagent_workflows", status="completed") == 1
    assert value(text, "finagent_workflows", status="failed") == 1


async def test_it_tells_of_health_and_load(scraped: tuple[bytes, LogFigures, dict[str, Any]]) -> None:
    text, _, _ = scraped
    states = {s.labels["status"]: s.value for s in samples(text) if s.name == "finagent_health_status"}
    assert states == {"healthy": 1, "degraded": 0, "critical": 0}
    assert value(text, "finagent_process_memory_bytes") > 10_000_000
    assert value(text, "finagent_process_cpu_seconds_total") > 0
    for name in ("cpu", "memory", "disk"):
        assert 0 <= value(text, f"finagent_{name}_usage_ratio") <= 1


async def test_names_types_and_help_follow_the_conventions(scraped: tuple[bytes, LogFigures, dict[str, Any]]) -> None:
    text, _, _ = scraped
    found = families(text)
    assert len(found) > 20
    for name, family in found.items():
        assert name.startswith("finagent_")
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram")
        for sample_ in family.samples:
            suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}[family.type]
            assert sample_.name in {name + suffix for suffix in suffixes}
    keys = [(s.name, tuple(sorted(s.labels.items()))) for s in samples(text)]
    assert len(keys) == len(set(keys)), "a series stands there twice"


async def test_buckets_are_cumulative_and_end_with_the_count(scraped: tuple[bytes, LogFigures, dict[str, Any]]) -> None:
    text, _, _ = scraped
    for name in ("finagent_handler_seconds", "finagent_transaction_seconds", "finagent_batch_messages"):
        of_task = [s for s in families(text)[name].samples if s.labels["task"] == "alpha.0"]
        stages = {s.labels.get("stage") for s in of_task}
        for stage in stages:
            mine = [s for s in of_task if s.labels.get("stage") == stage]
            buckets = [(float(s.labels["le"]), s.value) for s in mine if s.name.endswith("_bucket")]
            assert buckets == sorted(buckets)
            assert [count for _, count in buckets] == sorted(count for _, count in buckets)
            assert buckets[-1] == (float("inf"), next(s.value for s in mine if s.name.endswith("_count")))


def report(**changed: Any) -> dict[str, Any]:
    counts = Counts(starts=3, aborted=2)
    counts.committed({"ticks": 4}, {"ticks": 4000}, ["ticks"])
    counts.errors["signals"] = 1
    counts.handled("decide", 0.002)
    told = {"task": "mine.0", "pool": "mine", "slice": -1, "lag": {"ticks:0": 3, "ticks:1": 4}, "moved": 5 * 10**9}
    return {**told, "counts": counts.as_dict(), **changed}


async def test_a_task_s_counts_become_series() -> None:
    text = text_of(of_tasks([report()]))
    assert value(text, "finagent_rows_handled_total", pool="mine", task="mine.0", topic="ticks") == 4000
    assert value(text, "finagent_dead_letters_total", topic="ticks") == 1
    assert value(text, "finagent_handler_errors_total", topic="signals") == 1
    assert value(text, "finagent_task_restarts_total") == 2
    assert value(text, "finagent_transactions_total", outcome="aborted") == 2
    assert value(text, "finagent_lag_offsets", topic="ticks") == 7
    assert value(text, "finagent_task_moved_timestamp_seconds") == 5
    assert value(text, "finagent_handler_seconds_bucket", le="0.001") == 0
    assert value(text, "finagent_handler_seconds_bucket", le="0.003") == 1
    assert not any(s.name == "finagent_task_slice_timestamp_seconds" for s in samples(text))


async def test_hostile_names_are_escaped_and_read_back() -> None:
    name = 'a"b\\c\n{}=,\U0001f600 # HELP x'
    text = text_of(of_tasks([report(pool=name, task=f"{name}.0")]))
    found = {s.labels["pool"] for s in samples(text) if "pool" in s.labels}
    assert found == {name}
    assert {s.labels["task"] for s in samples(text) if "task" in s.labels} == {f"{name}.0"}


async def test_reports_without_counts_are_passed_over() -> None:
    text = text_of(of_tasks([{"task": "old.0", "pool": "old", "slice": -1}]))
    assert samples(text) == []


async def test_accounts_are_bounded_to_those_that_changed_last() -> None:
    figures = LogFigures()
    state = example(PositionsUpdated)
    for number in range(MAX_ACCOUNTS + 5):
        figures.learn(state.model_copy(update={"account_id": f"a{number}"}))
    figures.learn(state.model_copy(update={"account_id": "a5", "equity": 7.0}))
    figures.learn(state.model_copy(update={"account_id": "new"}))
    text = text_of(of_trading(figures))
    accounts = {s.labels["account"] for s in samples(text) if s.name == "finagent_account_equity"}
    assert len(accounts) == MAX_ACCOUNTS
    assert {"a5", "new"} <= accounts
    assert "a6" not in accounts
    assert value(text, "finagent_account_equity", account="a5") == 7.0


async def test_denials_are_counted_by_code() -> None:
    figures = LogFigures()
    denial = example(OrderDenied)
    for code in ("DAILY_LOSS", "DAILY_LOSS", "NO_MARK"):
        figures.learn(denial.model_copy(update={"code": code}))
    text = text_of(of_trading(figures))
    assert value(text, "finagent_order_denials_total", code="DAILY_LOSS") == 2
    assert value(text, "finagent_order_denials_total", code="NO_MARK") == 1


async def test_the_library_s_global_registry_is_left_alone() -> None:
    before = prometheus_client.generate_latest()
    text_of(of_tasks([report()]))
    assert b"finagent_" not in before
    assert b"finagent_" not in prometheus_client.generate_latest()


async def get(port: int) -> tuple[str, bytes]:
    def fetch() -> tuple[str, bytes]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return answer.headers["Content-Type"], answer.read()

    return await asyncio.to_thread(fetch)


async def test_a_process_serves_its_own_page_on_loopback(unused_tcp_port: int) -> None:
    settings = Settings.from_dict({"observability": {"metrics_port": unused_tcp_port}})

    async def told() -> list[dict[str, Any]]:
        return [report()]

    async with own_page(settings, told, WallClock()) as port, own_page(settings, told, WallClock()) as second:
        assert port == unused_tcp_port
        assert second is not None
        assert second > port, "the next process of the machine takes the next free port"
        kind, text = await get(port)
        assert kind.startswith("text/plain; version=")
        assert value(text, "finagent_rows_handled_total", topic="ticks") == 4000
        assert value(text, "finagent_process_memory_bytes", pools="mine") > 10_000_000
        assert value((await get(second))[1], "finagent_rows_handled_total", topic="ticks") == 4000
    with pytest.raises(OSError, match="refused"):
        await get(port)


async def test_no_free_port_is_an_error(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "PORTS", 1)
    settings = Settings.from_dict({"observability": {"metrics_port": unused_tcp_port}})

    async def told() -> list[dict[str, Any]]:
        return []

    async with own_page(settings, told, WallClock()):
        with pytest.raises(ConfigError, match=f"no free port from {unused_tcp_port}"):
            async with own_page(settings, told, WallClock()):
                pass


async def test_without_the_setting_no_page_is_served() -> None:
    async def told() -> list[dict[str, Any]]:
        return []

    async with own_page(Settings(), told, WallClock()) as port:
        assert port is None
