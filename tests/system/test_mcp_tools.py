"""The orchestrator's tools, used by a real MCP client in a process of its own from the server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

ROOT = Path(__file__).parents[2]
KEY = "a-key-of-this-test"
SYMBOLS = ["AAPL", "GOOGL"]


@asynccontextmanager
async def served(*options: str, key: str = "") -> AsyncIterator[str]:
    """Run `finagent serve` and give its URL."""
    environment = {**os.environ, **({"FINAGENT_API_KEY": key} if key else {})}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.cli", "serve", "--port", "0", *options),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            while not (found := re.search(r"http://\S+:\d+", (await process.stdout.readline()).decode())):
                assert process.returncode is None
        yield found.group()
    finally:
        process.terminate()
        assert await process.wait() == 0


async def told(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool and return its answer; an error fails the test."""
    answer = await client.call_tool(tool, arguments)
    text = answer.content[0].text
    assert not answer.is_error, text
    found = answer.structured_content or json.loads(text)
    assert isinstance(found, dict)
    return found


async def test_a_client_submits_a_strategy_and_reads_back_its_fills() -> None:
    feed = ("--feed", "sample", "--symbols", ",".join(SYMBOLS), "--start", "2012-01-03", "--end", "2012-06-29")
    async with served(*feed, "--pace", "0", "--wait-for-strategy") as url, Client(f"{url}/mcp") as client:
        status = await told(
            client,
            "submit_strategy",
            strategy_id="from_a_client",
            symbols=SYMBOLS,
            action="run",
            history_end="2012-01-02",
            parameters={"momentum_threshold": 0.0, "top": 1, "position_size": 0.5},
        )
        assert status["status"] == "active", status
        fills: list[dict[str, Any]] = []
        async with asyncio.timeout(60):
            while not fills:
                answer = await told(client, "list_decisions", kind="fills", run_id=status["run_id"])
                fills = answer["items"]
        assert {fill["instrument_id"] for fill in fills} <= {"AAPL.XNAS", "GOOGL.XNAS"}
        chain = await told(client, "explain_decision", id=fills[0]["id"])
        assert {"bars", "signals", "orders"} <= {link["topic"] for link in chain["items"]}
        positions = await told(client, "list_positions")
        assert positions["items"][0]["account_id"] == status["account_id"]
        stopped = await told(client, "stop_strategy", strategy_id="from_a_client")
        assert stopped["status"] == "stopped"
        assert (await told(client, "system_status"))["health"]["status"] in ("healthy", "degraded")


async def test_a_server_with_a_key_lets_no_client_in_without_it() -> None:
    async with served(key=KEY) as url:
        # A plain client: that of mcp leaves streams open where it is refused.
        async with httpx.AsyncClient() as plain:
            asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
            assert (await plain.post(f"{url}/mcp", json=asked)).status_code == 401
        headers = {"Authorization": f"Bearer {KEY}"}
        async with (
            create_mcp_http_client(headers=headers) as http,
            Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
        ):
            assert (await told(client, "system_status"))["version"]


async def test_a_client_starts_its_own_server_over_stdio() -> None:
    command = StdioServerParameters(command=sys.executable, args=["-m", "infra.cli", "mcp"], cwd=str(ROOT))
    async with Client(command) as client:
        done = await told(client, "submit_strategy", strategy_id="once", symbols=SYMBOLS)
        assert done["status"] == "completed", done
        assert done["result"]["data"]["note"]
        tested = await told(
            client,
            "run_backtest",
            symbols=SYMBOLS,
            start_date="2012-01-03",
            end_date="2012-06-29",
            strategy_type="momentum",
        )
        assert tested["status"] == "completed", tested
        assert tested["result"]["manifest"]["data"] == "real"
        refused = await client.call_tool("submit_strategy", {"strategy_id": "x", "symbols": ["NOPE"]})
        assert "NOPE" in refused.content[0].text


async def test_stdio_tools_of_a_running_server_say_when_it_is_away() -> None:
    arguments = ["-m", "infra.cli", "mcp", "--url", "http://127.0.0.1:9"]
    async with Client(StdioServerParameters(command=sys.executable, args=arguments, cwd=str(ROOT))) as client:
        answer = await client.call_tool("system_status", {})
    assert answer.is_error
    assert "the server does not answer" in answer.content[0].text
