"""OpenTelemetry: spans leave by OTLP/HTTP, and form one trace across processes on real Kafka."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.processes import processes
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.otel import traced
from orchestrator.settings import Settings, load
from orchestrator.strategy import TradingStrategy
from streams import tracing
from streams.errors import ConfigError
from tests.dataplane import sample
from tests.otlp import Received, Receiver, receiver

WORKFLOW = {
    "workflow_id": "traced",
    "steps": [
        {
            "agent_pool": "data_agent_pool",
            "action": "fetch_market_data",
            "parameters": {"symbols": ["AAPL"], "start": "2012-01-03", "end": "2012-01-31"},
        }
    ],
}
TRACED = {"observability": {"tracing": True}}


@pytest.fixture
def otlp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiver() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        yield made


def line(otlp: Receiver, span: Received) -> list[str]:
    """Return the names from a span up to the root of its trace."""
    by_id = {each.span_id: each for each in otlp.spans}
    names = [span.name]
    while span.parent_id:
        span = by_id[span.parent_id]
        names.append(span.name)
    return names


@pytest.mark.kafka
@pytest.mark.redis
@pytest.mark.timeout(180)
async def test_a_command_its_step_and_its_result_are_one_trace_across_processes(
    otlp: Receiver, kafka_bootstrap: str, redis_url: str, prefix: str, tmp_path: Path
) -> None:
    kafka = {"bootstrap": kafka_bootstrap, "prefix": prefix}
    settings = load(overrides={"kafka": kafka, "redis": {"url": redis_url}, **TRACED}, environ={})
    environment = {
        "FINAGENT_KAFKA__BOOTSTRAP": kafka_bootstrap,
        "FINAGENT_KAFKA__PREFIX": prefix,
        "FINAGENT_REDIS__URL": redis_url,
        "FINAGENT_OBSERVABILITY__TRACING": "true",
    }
    client = FinAgentOrchestrator(settings=settings)
    with processes(tmp_path, environment) as children:
        children.start("orchestrator", ["orchestrator"])
        children.start("data", ["pool", "data"])
        await client.initialize()
        try:
            result = await client.execute_workflow(WORKFLOW)
        finally:
            await client.shutdown()
        children.check()
    assert result["status"] == "completed", result
    [ended] = otlp.named("orchestrator StepCompleted")
    assert line(otlp, ended) == [
        "orchestrator StepCompleted",
        "data.steps RunStep",
        "orchestrator ExecuteWorkflow",
        "submit ExecuteWorkflow",
    ]
    trace = [span for span in otlp.spans if span.trace_id == ended.trace_id]
    assert len({span.instance for span in trace}) == 3, "the client, the orchestrator and the pool"
    assert {span.service for span in trace} == {"finagent"}
    [step] = otlp.named("data.steps RunStep")
    assert step.attributes["messaging.destination.name"] == "steps"
    assert step.attributes["messaging.message.conversation_id"] == "traced"
    assert step.attributes["finagent.pool"] == "data.steps"
    assert step.attributes["finagent.task"].startswith("data.steps.")


async def test_a_bar_its_signal_order_and_fill_are_one_trace(otlp: Receiver) -> None:
    orchestrator = FinAgentOrchestrator(settings=Settings.from_dict(TRACED))
    await orchestrator.initialize()
    try:
        strategy = TradingStrategy(
            "s", "S", symbols=["AAPL", "MSFT"], lookback_period=3, rebalance_frequency="bar", parameters={"top": 1}
        )
        run = await orchestrator.start_strategy(strategy, check_history=False, run_id="run")
        feed = await orchestrator.feed()
        await feed.publish(sample(("AAPL", "MSFT"), "2012-01-03", "2012-01-31")[1])
        await orchestrator.stop_strategy(run.run_id)
    finally:
        await orchestrator.shutdown()
    assert tracing.installed() is None
    fills = otlp.named("execution OrderFilled")
    assert len(fills) > 2
    expected = ["execution OrderFilled", "risk control", "portfolio construct", "alpha decide", "feed slice"]
    assert [line(otlp, fill) for fill in fills] == [expected] * len(fills)


def test_where_it_is_off_the_library_is_not_imported() -> None:
    code = """
import asyncio, sys
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings

async def main():
    orchestrator = FinAgentOrchestrator(settings=Settings())
    await orchestrator.initialize()
    await orchestrator.shutdown()

asyncio.run(main())
# The Redis client imports the metrics half of the SDK by itself.
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk.trace", "opentelemetry.exporter"))])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_on_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with (
        pytest.raises(ConfigError, match=r"needs the extra otel .*finagent-orchestration\[otel\]"),
        traced(Settings.from_dict(TRACED)),
    ):
        pass
    assert tracing.installed() is None


def test_the_standard_switch_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with traced(Settings.from_dict(TRACED)):
        assert tracing.installed() is None


def test_service_and_attributes_come_from_the_standard_variables(
    otlp: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "desk")
    with traced(Settings.from_dict(TRACED)), traced(Settings.from_dict(TRACED)):
        tracing.sent("x", {"number": 5})
        assert tracing.installed() is not None
    [span] = otlp.spans
    assert (span.name, span.service, span.attributes) == ("x", "desk", {"number": "5"})


def test_what_is_not_sampled_is_not_sent_but_its_context_travels(
    otlp: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with traced(Settings.from_dict(TRACED)):
        context = tracing.sent("x", {})
    assert context is not None
    assert context.endswith("-00")
    assert otlp.spans == []
