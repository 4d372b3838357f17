"""Serve an app until it is asked to stop, then drain."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from infra.server.app import create_app
from infra.server.auth import KEY_VARIABLE, check_exposure
from infra.server.feed import FeedPlan
from orchestrator.facade import FinAgentOrchestrator
from streams.errors import ConfigError, ServiceError

log = logging.getLogger("FinAgentOrchestrator")
DRAIN_S = 20
"""Time that running requests have to end, in seconds."""
KEEP_ALIVE_S = 75
"""Time that an idle connection stays open; longer than clients and proxies keep theirs."""
CONNECTIONS = 1000
"""Connections and running requests beyond which a request is answered 503."""


async def serve(
    orchestrator: FinAgentOrchestrator,
    *,
    feed: FeedPlan | None = None,
    stop: asyncio.Event | None = None,
    ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until stop is set, POST /shutdown comes, or SIGTERM or Ctrl-C where nobody else handles them.

    ready: told the URL once requests are answered. Raises ConfigError where the address may not or cannot be used.
    """
    section = orchestrator.settings.orchestrator
    key = os.environ.get(KEY_VARIABLE, "")
    check_exposure(section.host, key)
    await orchestrator.initialize()
    listening = _listen(section.host, section.port)
    ending = stop or asyncio.Event()
    app = create_app(orchestrator, key=key, feed=feed, stop=ending)
    config = uvicorn.Config(
        app,
        http="h11",  # it bounds the head of a request; httptools does not
        log_config=None,
        ws="none",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=65_536,
    )
    server = _Server(config, handle_signals=stop is None)
    url = f"http://{_shown(section.host)}:{listening.getsockname()[1]}"
    running = asyncio.create_task(server.serve(sockets=[listening]), name="server")
    try:
        await _until(server.up, running)
        if not server.started:
            await running
            raise ServiceError("the server did not start; the log says why")
        ready(url)
        log.info("the server answers at %s", url)
        await _until(ending, running)
        if not running.done():
            # Streams end first: the server waits for every request that runs.
            app.state.services.hub.close()
            server.should_exit = True
        await running
    finally:
        if not running.done():
            server.should_exit = True
            await asyncio.wait([running])
        listening.close()
        await orchestrator.shutdown()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, *, handle_signals: bool) -> None:
        super().__init__(config)
        self._handle_signals = handle_signals
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if self._handle_signals:
            with super().capture_signals():
                yield
        else:
            yield


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another with orchestrator.host and "
            "orchestrator.port (0: any free port)"
        ) from error


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _until(event: asyncio.Event, running: asyncio.Task[None]) -> None:
    """Wait for an event, or for the end of what runs."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait([waiting, running], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
