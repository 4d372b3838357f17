"""A server in the test's own event loop: by ASGI, or on a real port where streams and sockets count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from agents.data.reference import Reference
from infra.cli.feed_source import Wanted, open_source
from infra.cli.feeding import Pace
from infra.server.app import create_app
from infra.server.feed import FeedPlan
from infra.server.serving import serve
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings

JSON = dict[str, Any]
STRATEGY: JSON = {
    "strategy_id": "trend",
    "name": "Trend",
    "symbols": ["AAPL", "GOOGL", "MSFT"],
    "parameters": {"momentum_threshold": 0.02, "position_size": 0.33},
}
RUN: JSON = {
    "strategy_id": "rotation",
    "name": "Two strongest",
    "symbols": ["AAPL", "GOOGL", "MSFT"],
    "lookback_period": 5,
    "rebalance_frequency": "bar",
    "parameters": {"top": 2, "position_size": 0.45},
    "action": "run",
    "initial_cash": 100_000,
    "history_end": "2011-12-30",
}
FETCH: JSON = {
    "agent_pool": "data_agent_pool",
    "action": "fetch_market_data",
    "parameters": {"symbols": ["AAPL"]},
}


def settings_in(folder: Path, **sections: Mapping[str, Any]) -> Settings:
    """Return settings of a server that keeps its files in a folder and limits no rate."""
    server = {"results_folder": str(folder / "backtests"), "rate_limit_per_s": 0, **sections.pop("server", {})}
    orchestrator = {"port": 0, **sections.pop("orchestrator", {})}
    return Settings.from_dict({"server": server, "orchestrator": orchestrator, **sections})


@asynccontextmanager
async def asgi(settings: Settings, *, key: str = "", feed: FeedPlan | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Serve without a socket."""
    orchestrator = FinAgentOrchestrator(settings=settings)
    app = create_app(orchestrator, key=key, feed=feed)
    started, stop = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        # In one task, as a server does it; a fixture begins and ends in two.
        async with app.router.lifespan_context(app):
            started.set()
            await stop.wait()

    living, starting = asyncio.create_task(live()), asyncio.create_task(started.wait())
    await asyncio.wait([living, starting], return_when=asyncio.FIRST_COMPLETED)
    starting.cancel()
    try:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9000") as client:
            client.app = app  # type: ignore[attr-defined]
            yield client
    finally:
        stop.set()
        await living


@asynccontextmanager
async def served(settings: Settings, *, feed: FeedPlan | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Serve on a real port of this machine, until the block ends."""
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    orchestrator = FinAgentOrchestrator(settings=settings)
    running = asyncio.create_task(serve(orchestrator, feed=feed, stop=stop, ready=url.set_result))
    await asyncio.wait([running, url], return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        await running
    try:
        async with httpx.AsyncClient(base_url=await url, timeout=30) as client:
            yield client
    finally:
        stop.set()
        await running


def half_year(slices_per_s: float | None = None) -> FeedPlan:
    """Return a feed of real daily bars of 2012 that begins with the first run."""
    wanted = Wanted(
        ("AAPL", "GOOGL", "MSFT"), "2012-01-03", "2012-06-29", "", 10**9, "", 1, Reference("XXXX", "USD", 0.01, 1.0)
    )
    return FeedPlan(open_source("sample", wanted), Pace(None, slices_per_s=slices_per_s), wait_for_strategy=True)


async def until(client: httpx.AsyncClient, path: str, found: Any, timeout_s: float = 60) -> JSON:
    """Ask again until an answer is as wanted, and return it."""
    async with asyncio.timeout(timeout_s):
        while True:
            answer: JSON = (await client.get(path)).json()
            if found(answer):
                return answer
            await asyncio.sleep(0.02)


async def submitted(client: httpx.AsyncClient, body: JSON, status: str) -> JSON:
    """Submit a strategy and wait until it stands so."""
    answer = await client.post("/strategies", json=body)
    assert answer.status_code == 202, answer.text
    return await until(client, answer.headers["location"], lambda each: each["status"] == status)
