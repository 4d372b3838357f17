"""The whole system as processes, on a real Kafka: what the load and the soak run against."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from infra.processes import Processes, processes
from infra.services.ports import HOST, free_ports
from orchestrator.settings import Settings, load
from orchestrator.wiring import BUILT_IN
from tests.performance.http_client import Connection

READY_S = 180.0
"""Time to start and to complete a first strategy."""
SYMBOLS = (("AAPL", "GOOGL", "MSFT"), ("IBM", "MSFT"), ("AAPL",), ("GOOGL", "IBM", "AAPL", "MSFT"))
MODELS: tuple[tuple[int, dict[str, Any]], ...] = (
    (20, {"momentum_threshold": 0.02, "position_size": 0.3}),
    (10, {"strategy_type": "mean_reversion"}),
    (5, {"top": 1, "position_size": 0.45}),
)


def strategy(number: int, name: str = "load") -> dict[str, Any]:
    """Return the body of the n-th strategy: 12 definitions in turn, each under an id of its own."""
    lookback, parameters = MODELS[number // len(SYMBOLS) % len(MODELS)]
    return {
        "strategy_id": f"{name}-{number}",
        "name": f"Load {number}",
        "symbols": list(SYMBOLS[number % len(SYMBOLS)]),
        "lookback_period": lookback,
        "parameters": parameters,
        "action": "evaluate",
    }


@dataclass
class System:
    """A running system."""

    settings: Settings
    children: Processes
    port: int

    def connection(self) -> Connection:
        """Return a connection to the server, not open yet."""
        return Connection(HOST, self.port)

    def processes(self) -> dict[str, psutil.Process]:
        """Return the system's processes by name."""
        return {name: psutil.Process(child.pid) for name, child in self.children.running.items()}

    async def answered(self) -> None:
        """Wait until the server answers and has completed some strategies."""
        async with asyncio.timeout(READY_S):
            while not await self._serves():
                self.children.check()
                await asyncio.sleep(0.2)
            async with self.connection() as server:
                for number in range(len(SYMBOLS) * len(MODELS)):
                    await self._completes(server, strategy(number, "warm"))

    async def _serves(self) -> bool:
        try:
            async with self.connection() as server:
                return (await server.request("GET", "/health"))[0] in (200, 503)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False

    async def _completes(self, server: Connection, body: dict[str, Any]) -> None:
        status, answer = await server.request("POST", "/strategies", body)
        assert status == 202, answer
        while (found := (await server.request("GET", f"/strategies/{body['strategy_id']}"))[1])["status"] == "running":
            self.children.check()
            await asyncio.sleep(0.05)
        assert found["status"] == "completed", found


@asynccontextmanager
async def system(
    bootstrap: str, prefix: str, folder: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[System]:
    """Start the orchestrator, every pool and the server as processes; stop them in the end.

    environment: more settings for them, as FINAGENT_ variables.
    """
    kafka = {"bootstrap": bootstrap, "prefix": prefix}
    settings = load(overrides={"kafka": kafka, "log_level": "WARNING"}, environ=environment or {})
    shared = {
        "FINAGENT_KAFKA__BOOTSTRAP": bootstrap,
        "FINAGENT_KAFKA__PREFIX": prefix,
        "FINAGENT_LOG_LEVEL": "WARNING",
        **(environment or {}),
    }
    port = next(free_ports())
    with processes(folder, shared) as children:
        running = System(settings, children, port)
        children.start("orchestrator", ["orchestrator"])
        for name in BUILT_IN:
            children.start(name, ["pool", name])
        children.start("server", ["serve", "--port", str(port)])
        await running.answered()
        yield running
