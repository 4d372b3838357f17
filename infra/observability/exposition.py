"""The Prometheus text of metric families, and a process's own page of it."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from wsgiref.simple_server import WSGIServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import Metric

from infra.observability.families import of_processes, of_tasks
from orchestrator.heartbeat import Report
from orchestrator.load import MemoryWatch, process_report
from orchestrator.settings import Settings
from streams.clock import Clock
from streams.errors import ConfigError

log = logging.getLogger("finagent.metrics")
CONTENT_TYPE = CONTENT_TYPE_LATEST
LOOPBACK = "127.0.0.1"
PORTS = 100
"""Ports that are tried: the processes of one machine share their settings."""
ANSWER_S = 5.0
"""How long the process's event loop may take to say how its tasks are."""


class Families:
    """A collector of families that are made when they are asked for."""

    def __init__(self, found: Callable[[], Iterable[Metric]]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        """Return the families."""
        return self._found()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering is no reason to collect."""
        return ()


def text_of(families: Iterable[Metric]) -> bytes:
    """Return families in the Prometheus text format, CONTENT_TYPE."""
    return generate_latest(registry_of(lambda: families))


def registry_of(found: Callable[[], Iterable[Metric]]) -> CollectorRegistry:
    """Return a registry of these families alone; the library's global one stays out of it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families(found))
    return registry


@asynccontextmanager
async def own_page(
    settings: Settings, tasks: Callable[[], Awaitable[Sequence[Report]]], clock: Clock
) -> AsyncIterator[int | None]:
    """Serve this process's metrics on loopback until the block ends; give the port, None where the settings say 0.

    tasks: gives reports of the tasks that run here; called on this loop. Raises ConfigError where none of PORTS ports
    is free.
    """
    first = settings.observability.metrics_port
    if not first:
        yield None
        return
    loop = asyncio.get_running_loop()

    async def families() -> list[Metric]:
        found = await tasks()
        own = process_report(sorted({each["pool"] for each in found}), MemoryWatch(), clock.now())
        return [*of_tasks(found), *of_processes([own])]

    def found() -> list[Metric]:
        # The page is answered in a thread; tasks belong to the loop.
        return asyncio.run_coroutine_threadsafe(families(), loop).result(ANSWER_S)

    server, port = _bound(registry_of(found), first)
    log.info("metrics of this process: http://%s:%d/metrics", LOOPBACK, port)
    try:
        yield port
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()


def _bound(registry: CollectorRegistry, first: int) -> tuple[WSGIServer, int]:
    for port in range(first, min(first + PORTS, 65536)):
        try:
            server, _ = start_http_server(port, LOOPBACK, registry)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(f"observability.metrics_port: cannot listen on {LOOPBACK}:{port}: {error}") from None
        else:
            return server, port
    raise ConfigError(f"observability.metrics_port: no free port from {first} to {first + PORTS - 1}")
