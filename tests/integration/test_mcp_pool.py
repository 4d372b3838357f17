"""A pool that is an MCP server in a process of its own, used by workflow steps over real HTTP."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.data.fetch import FetchParameters, fetch
from agents.data.sources import SampleProvider
from agents.mcp import pool as mcp_pool
from agents.mcp.pool import McpPool
from agents.steps import Inputs, StepContext
from infra.processes import processes
from infra.services.ports import free_ports, is_open
from orchestrator import FinAgentOrchestrator
from orchestrator.settings import load
from streams.errors import ConfigError, PoolUnavailable, ToolFailed

AAPL, GOOGL = "AAPL.XNAS", "GOOGL.XNAS"
ROOT = Path(__file__).parents[2]
FETCH: dict[str, Any] = {
    "agent_pool": "data_agent_pool",
    "action": "fetch_market_data",
    "parameters": {"symbols": ["AAPL", "GOOGL"], "start": "2012-01-03", "end": "2012-12-31"},
}
ANALYSE = {"step_id": "analyse", "agent_pool": "custom_agent_pool", "action": "custom_analysis"}
ODD = """
import sys, time
from agents.mcp.server import FastMCP
mcp = FastMCP("Odd")

@mcp.tool()
def refuse(x: int) -> dict:
    raise ValueError("no")

@mcp.tool()
def number(x: int) -> int:
    return x + 1

@mcp.tool()
def words(x: int) -> str:
    return f"x is {x}"

@mcp.tool()
def slow() -> str:
    time.sleep(60)
    return "done"

mcp.run(host="127.0.0.1", port=int(sys.argv[1]))
"""


@contextmanager
def served(*command: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run an MCP server as a process until the block ends."""
    process = subprocess.Popen([sys.executable, *command, str(port)], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        _answering(port, process)
        yield process
    finally:
        process.kill()
        process.wait()


def _answering(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while not is_open(port):
        assert process.poll() is None, "the server has ended"
        assert time.monotonic() < deadline, "the server does not answer"


@asynccontextmanager
async def system(url: str) -> AsyncIterator[FinAgentOrchestrator]:
    """Run the embedded system with a custom pool registered by URL."""
    orchestrator = FinAgentOrchestrator(config={"data": {"providers": ["sample"]}})
    orchestrator.register_agent_pool(pool_name="custom_agent_pool", endpoint_url=url)
    await orchestrator.initialize()
    try:
        yield orchestrator
    finally:
        await orchestrator.shutdown()


@pytest.fixture
def port() -> int:
    """Give a port that nothing listens on."""
    return next(free_ports())


async def test_tools_of_an_mcp_server_are_actions_of_workflow_steps(port: int) -> None:
    with served("examples/mcp_pool.py", port=port):
        async with system(f"http://localhost:{port}") as orchestrator:
            result = await orchestrator.execute_workflow({"steps": [FETCH, ANALYSE]})
    assert result["status"] == "completed", result
    analysis = result["results"]["analyse"]
    assert analysis["result"] == "analysis_complete"
    fetched = fetch(SampleProvider(), FetchParameters(**FETCH["parameters"]))
    closes = {name: [b.close.max() for b in fetched.blocks if b.instrument_id == name] for name in (AAPL, GOOGL)}
    assert analysis["highest_close"] == {name: float(max(values)) for name, values in closes.items()}


async def test_a_killed_server_fails_its_step_and_is_found_again_after_restart(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://localhost:{port}"
    said = f"Failed to connect to custom_agent_pool at {url}"
    async with system(url) as orchestrator:
        with served("examples/mcp_pool.py", port=port):
            before = await orchestrator.execute_workflow({"steps": [FETCH, ANALYSE]})
        down = await orchestrator.execute_workflow({"steps": [FETCH, ANALYSE]})
        with served("examples/mcp_pool.py", port=port):
            after = await orchestrator.execute_workflow({"steps": [FETCH, ANALYSE]})
    assert [before["status"], down["status"], after["status"]] == ["completed", "failed", "completed"]
    assert said in down["error"]
    errors = [r for r in caplog.records if r.levelno == logging.ERROR and r.name == "FinAgentOrchestrator"]
    assert said in [record.getMessage() for record in errors]
    assert after["results"]["analyse"] == before["results"]["analyse"]


async def test_a_server_that_is_down_is_told_of_at_the_start(port: int, caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://localhost:{port}"
    async with system(url) as orchestrator:
        result = await orchestrator.execute_workflow({"steps": [FETCH]})
        assert result["status"] == "completed"
        said = f"Failed to connect to custom_agent_pool at {url}"
        health = await orchestrator.get_health_status()
        while health["reasons"] != [said]:
            await orchestrator.execute_workflow({"steps": [FETCH]})
            health = await orchestrator.get_health_status()
    assert health["status"] == "degraded"
    assert said in caplog.text


async def test_a_url_in_the_settings_replaces_the_answers_of_a_built_in_pool(port: int) -> None:
    url = f"http://localhost:{port}"
    orchestrator = FinAgentOrchestrator(config={"agent_pools": {"risk_agent_pool": {"url": url}}})
    await orchestrator.initialize()
    try:
        with served("examples/mcp_pool.py", port=port):
            steps = [FETCH, ANALYSE | {"agent_pool": "risk_agent_pool"}]
            result = await orchestrator.execute_workflow({"steps": steps})
        assert result["results"]["analyse"]["result"] == "analysis_complete"
    finally:
        await orchestrator.shutdown()


def _asked(pool: McpPool, action: str, parameters: dict[str, Any], timeout_s: float = 10.0) -> Any:
    return pool.answer(action)(parameters, Inputs({}), StepContext("w", "s", 0, timeout_s))


def test_answers_errors_and_time_limits_of_tools(port: int, tmp_path: Path) -> None:
    script = tmp_path / "odd.py"
    script.write_text(ODD)
    pool = McpPool("odd", url=f"http://127.0.0.1:{port}")
    with served(str(script), port=port):
        assert _asked(pool, "number", {"x": 1}) == {"result": 2}
        assert _asked(pool, "words", {"x": 1}) == {"result": "x is 1"}
        with pytest.raises(ToolFailed, match="refuse"):
            _asked(pool, "refuse", {"x": 1})
        with pytest.raises(ToolFailed, match="valid integer"):
            _asked(pool, "number", {"x": "many"})
        with pytest.raises(LookupError, match="has no tool 'nothing'; it has: number, refuse, slow, words"):
            _asked(pool, "nothing", {})
        assert not pool.problem
        with pytest.raises(PoolUnavailable, match=r"did not give slow within 0\.5 s"):
            _asked(pool, "slow", {}, 0.5)
    assert PoolUnavailable.retryable
    assert not ToolFailed.retryable


def test_a_server_that_stays_away_is_left_alone_for_a_while(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, attempts = McpPool("away", url=f"http://127.0.0.1:{port}"), 0
    reached = mcp_pool.call

    def counted(*arguments: Any) -> dict[str, Any]:
        nonlocal attempts
        attempts += 1
        return reached(*arguments)

    monkeypatch.setattr(mcp_pool, "call", counted)
    for _ in range(mcp_pool.FAILURES + 3):
        with pytest.raises(PoolUnavailable, match="Failed to connect to away_agent_pool"):
            _asked(pool, "anything", {})
    assert attempts == mcp_pool.FAILURES


def test_steps_are_asked_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=20)

    def met(*arguments: Any) -> dict[str, Any]:
        both.wait()
        return {}

    monkeypatch.setattr(mcp_pool, "call", met)
    pool = McpPool("shared", url="http://127.0.0.1:1")
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(_asked, pool, "anything", {}) for _ in range(2)]
        assert [each.result() for each in asked] == [{}, {}]


@pytest.mark.parametrize("url", ["", "localhost:8005", "ftp://localhost", "http://"])
def test_a_pool_without_an_http_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="expected http://host:port"):
        McpPool("custom", url=url)


def test_names_that_are_taken_and_half_a_registration_are_refused() -> None:
    orchestrator = FinAgentOrchestrator()
    orchestrator.register_agent_pool(pool_name="custom_agent_pool", endpoint_url="http://localhost:8005")
    for name in ("custom_agent_pool", "custom", "data_agent_pool"):
        with pytest.raises(ConfigError, match="there is a pool"):
            orchestrator.register_agent_pool(pool_name=name, endpoint_url="http://localhost:8006")
    with pytest.raises(ConfigError, match="name both"):
        orchestrator.register_agent_pool(pool_name="other")


def test_what_a_tool_is_told_is_plain_json() -> None:
    fetched = fetch(SampleProvider(), FetchParameters(symbols=("AAPL",), start="2012-01-03", end="2012-01-05"))
    told = mcp_pool.told(Inputs({"first": {"count": 3}}, tuple(fetched.blocks)))
    again = json.loads(json.dumps(told))
    assert again["first"] == {"count": 3}
    assert again["bars"]["AAPL.XNAS"]["time"][0] == "2012-01-03T21:00:00.000000000Z"
    assert len(again["bars"]["AAPL.XNAS"]["close"]) == 3


@pytest.mark.kafka
@pytest.mark.redis
async def test_on_kafka_a_process_takes_the_steps_to_the_server(
    port: int, kafka_bootstrap: str, redis_url: str, prefix: str, tmp_path: Path
) -> None:
    url = f"http://localhost:{port}"
    file = tmp_path / "settings.yaml"
    kafka = {"bootstrap": kafka_bootstrap, "prefix": prefix}
    pools = {"custom_agent_pool": {"url": url}}
    file.write_text(yaml.safe_dump({"kafka": kafka, "redis": {"url": redis_url}, "agent_pools": pools}))
    workflow = yaml.safe_load((ROOT / "examples" / "mcp_workflow.yaml").read_text())
    del workflow["workflow_id"]  # it would name one execution
    commands = (["orchestrator"], ["pool", "data"], ["pool", "custom_agent_pool"])
    with processes(tmp_path / "logs", {}) as children:
        for command in commands:
            children.start(command[-1], [*command, "--config", str(file)])
        orchestrator = FinAgentOrchestrator(settings=load(file))
        await orchestrator.initialize()
        try:
            with served("examples/mcp_pool.py", port=port):
                done = await orchestrator.execute_workflow(workflow)
            down = await orchestrator.execute_workflow(workflow)
        finally:
            await orchestrator.shutdown()
        log = children.log("custom_agent_pool").read_text()
    assert done["results"]["analyse"]["result"] == "analysis_complete"
    assert f"Failed to connect to custom_agent_pool at {url}" in down["error"]
    assert f"ERROR - FinAgentOrchestrator: Failed to connect to custom_agent_pool at {url}" in log
