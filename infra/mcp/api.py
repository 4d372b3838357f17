"""The REST API as the tools call it: over HTTP, or within this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
from mcp.server.mcpserver.exceptions import ToolError

POLL_S = 0.1
"""How often a running thing is looked at, in seconds."""


class Api:
    """Calls routes; an answer that is a problem is raised as ToolError with its detail."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Return what a route answers; parameters that are None or empty are left out."""
        asked = {name: value for name, value in query.items() if value not in (None, "")}
        return await self._asked("GET", path, params=asked)

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send a body."""
        return await self._asked("POST", path, json=body)

    async def delete(self, path: str) -> dict[str, Any]:
        """Stop what a path names."""
        return await self._asked("DELETE", path)

    async def settled(self, path: str, ended: frozenset[str], wait_s: float) -> dict[str, Any]:
        """Return what stands at a path once its status is one of those, or how far it is after wait_s."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            found = await self.get(path)
            if found["status"] in ended or loop.time() >= deadline:
                return found
            await asyncio.sleep(POLL_S)

    async def _asked(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        try:
            response = await self._client.request(method, path, **given)
        except httpx.HTTPError as error:
            raise ToolError(f"the server does not answer: {str(error) or type(error).__name__}") from error
        found = response.json()
        if response.is_error:
            raise ToolError(f"{found.get('title', response.status_code)}: {_detail(found)}")
        return found if isinstance(found, dict) else {"items": found}


def _detail(problem: Mapping[str, Any]) -> str:
    errors = problem.get("errors") or []
    return "; ".join([str(problem.get("detail", "")), *(str(each) for each in errors)])
