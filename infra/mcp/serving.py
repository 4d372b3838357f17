"""Serving the tools: at /mcp of the REST server, or over stdio to the client that started this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

from infra.mcp.api import Api
from infra.mcp.tools import server_of

if TYPE_CHECKING:
    from fastapi import FastAPI

CALL_S = 60.0
"""How long a tool waits for one answer of the API."""


def in_app(app: FastAPI, key: str, host: str) -> MCPServer:
    """Add the route /mcp to an app and return the server behind it, whose session_manager must run with the app.

    The tools call the app's own routes, so that they are refused what a client of the REST API is refused.
    """
    server = server_of(Api(_client_of(app, key, host)))
    # Host and origin are checked by the app before its routes.
    open_ = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    app.router.routes.extend(server.streamable_http_app(transport_security=open_).routes)
    return server


async def over_stdio(server: MCPServer, stop: asyncio.Event) -> None:
    """Serve until the client closes its end or stop is set."""
    serving = asyncio.create_task(server.run_stdio_async())
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if serving in done:
        serving.result()
    serving.cancel()


@asynccontextmanager
async def remote(url: str, key: str) -> AsyncIterator[MCPServer]:
    """Give the tools of a server that runs at a URL."""
    async with httpx.AsyncClient(base_url=url, headers=_headers(key), timeout=CALL_S) as client:
        yield server_of(Api(client))


@asynccontextmanager
async def own(app: FastAPI, key: str, host: str) -> AsyncIterator[MCPServer]:
    """Give the tools of an app that runs in this process and listens nowhere."""
    async with app.router.lifespan_context(app), _client_of(app, key, host) as client:
        yield server_of(Api(client))


def _client_of(app: FastAPI, key: str, host: str) -> httpx.AsyncClient:
    url = f"http://[{host}]" if ":" in host else f"http://{host}"
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url=url, headers=_headers(key), timeout=CALL_S)


def _headers(key: str) -> dict[str, str]:
    return {"X-API-Key": key} if key else {}
