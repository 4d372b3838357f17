"""`finagent serve` as a process of its own: how it starts, ends, and what it knows after a crash."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.processes import Processes, processes
from orchestrator.heartbeat import beat
from orchestrator.settings import Settings
from orchestrator.wiring import all_kinds, broker_of, context_of, partitions_of, pools_of, store_of
from streams.clock import WallClock
from streams.host import Host, create_topology
from streams.serde import Serde
from tests.server import RUN, STRATEGY, until
from tests.system.cluster import on

READY_S = 60


@contextmanager
def serving(folder: Path, *options: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `finagent serve` on a free port; give the process and its URL."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FINAGENT_")}
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.cli", "serve", "--port", "0", *options],
        cwd=folder,
        env={**clean, "PYTHONPATH": root, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://[\d.]+:\d+", process.stdout.readline())
        yield process, found.group() if found else ""
    finally:
        process.kill()
        process.communicate()


def test_a_request_ends_it_with_code_0(tmp_path: Path) -> None:
    with serving(tmp_path, "--feed", "sample", "--symbols", "AAPL,GOOGL,MSFT", "--wait-for-strategy") as (process, url):
        assert httpx.get(f"{url}/health").status_code == 200
        assert httpx.get(f"{url}/status").json()["feed"]["status"] == "waiting"
        assert httpx.get(url).status_code in (200, 404)
        assert "/strategies" in httpx.get(f"{url}/docs").text
        assert httpx.post(f"{url}/shutdown").status_code == 202
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0
    assert "Traceback" not in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_code_0(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path) as (process, url), httpx.stream("GET", f"{url}/events", timeout=30) as stream:
        lines = stream.iter_lines()
        assert next(lines) == ": connected"
        process.send_signal(number)
        assert "event: closed" in list(lines)
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0
    assert "Traceback" not in log


def test_an_open_address_without_a_key_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0") as (process, url):
        out, log = process.communicate(timeout=60)
        assert (process.returncode, url, out) == (2, "", "")
    assert log.startswith("error: orchestrator.host '0.0.0.0' is not loopback and FINAGENT_API_KEY is not set")
    with serving(tmp_path, "--host", "0.0.0.0", FINAGENT_API_KEY="k3y") as (process, url):
        address = url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{address}/status").status_code == 401
        assert httpx.get(f"{address}/status", headers={"X-API-Key": "k3y"}).status_code == 200
        process.terminate()
        _, log = process.communicate(timeout=60)
    assert "k3y" not in log


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with serving(tmp_path, "--port", port) as (process, url):
            _, log = process.communicate(timeout=60)
            assert (process.returncode, url) == (1, "")
    assert f"cannot listen on 127.0.0.1:{port}" in log


async def address(children: Processes, name: str) -> str:
    """Wait until a server that was started as a child answers; return its URL."""
    async with asyncio.timeout(READY_S):
        while not (found := re.search(r"FinAgent answers at (\S+)", children.log(name).read_text())):
            children.check()
            await asyncio.sleep(0.05)
    return found.group(1)


@asynccontextmanager
async def pools(settings: Settings) -> AsyncIterator[None]:
    """Run the orchestrator and every pool as tasks of this process, on the Kafka of the settings."""
    broker, store, clock = broker_of(settings), store_of(settings), WallClock()
    await broker.start()
    await store.start()
    kinds, counts = all_kinds(pools_of(settings), context_of(settings)), partitions_of(settings)
    await create_topology(broker, counts, kinds)
    host = Host(broker, kinds, counts, clock, Serde())
    work = [asyncio.create_task(host.run()), asyncio.create_task(beat(host, store, clock))]
    try:
        yield
    finally:
        host.stop.set()
        await asyncio.gather(*work)
        await store.stop()
        await broker.stop()


@pytest.mark.kafka
@pytest.mark.redis
@pytest.mark.timeout(240)
async def test_what_was_submitted_is_known_after_a_crash(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str, prefix: str
) -> None:
    settings, key = on(kafka_bootstrap, redis_url, prefix, workflow=2), {"Idempotency-Key": "once"}
    environment = {
        "FINAGENT_KAFKA__BOOTSTRAP": kafka_bootstrap,
        "FINAGENT_KAFKA__PREFIX": prefix,
        "FINAGENT_KAFKA__PARTITIONS__WORKFLOW": "2",
        "FINAGENT_REDIS__URL": redis_url,
    }
    with processes(tmp_path / "logs", environment) as children:
        async with pools(settings):
            await crash(children, key)


async def crash(children: Processes, key: dict[str, str]) -> None:
    """Submit, kill the server, start it again, and compare."""
    feed = ("--feed", "sample", "--symbols", "AAPL,GOOGL,MSFT", "--start", "2012-01-03", "--end", "2012-02-29")
    children.start("serve", ["serve", "--port", "0", *feed, "--pace", "0", "--wait-for-strategy"])
    async with httpx.AsyncClient(base_url=await address(children, "serve"), timeout=30) as api:
        assert (await api.get("/status")).json()["broker"].startswith("Kafka at ")
        first = (await api.post("/strategies", json=STRATEGY, headers=key)).json()
        assert (await api.post("/strategies", json=RUN)).status_code == 202
        done = await until(api, "/strategies/trend", lambda each: each["status"] == "completed")
        await until(api, "/positions", traded)
        before = await everything(api)
    children.kill("serve")

    children.start("again", ["serve", "--port", "0"])
    async with httpx.AsyncClient(base_url=await address(children, "again"), timeout=30) as api:
        assert (await api.get("/strategies/trend")).json() == done
        assert await everything(api) == before
        again = await api.post("/strategies", json=STRATEGY, headers=key)
        assert (again.status_code, again.json()["workflow_id"]) == (202, first["workflow_id"])
        other = {**STRATEGY, "lookback_period": 30}
        assert (await api.post("/strategies", json=other, headers=key)).status_code == 409
        assert len((await api.get("/workflows")).json()["items"]) == 2
        stopped = await api.delete("/strategies/rotation", timeout=60)
        assert (stopped.status_code, stopped.json()["status"]) == (200, "stopped")
        assert (await api.post("/shutdown")).status_code == 202
    process = children.running.pop("again")
    assert await asyncio.to_thread(process.wait, 60) == 0


def traded(page: dict[str, Any]) -> bool:
    return bool(page["items"]) and page["items"][0]["updated"].startswith("2012-02-29")


async def everything(api: httpx.AsyncClient) -> dict[str, Any]:
    """Return the lists that the log decides."""
    paths = ("/strategies", "/workflows", "/signals", "/orders", "/fills", "/denials", "/positions", "/risk")
    return {path: (await api.get(path, params={"limit": 1000})).json() for path in paths}
