"""Calling a tool of an MCP server over streamable HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from streams.errors import ConfigError, PoolUnavailable, ToolFailed, UnknownAction

T = TypeVar("T")
PATH = "/mcp"
"""Where a server answers whose URL names no path."""
Arguments = Callable[[frozenset[str]], dict[str, Any]]
"""Gives a tool's arguments, told the names that its schema has."""


def endpoint(url: str) -> str:
    """Return the address that is called; raise ConfigError where the URL is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"the URL of an MCP pool is {url!r}, expected http://host:port or https://host:port")
    return urlunsplit(parts._replace(path=PATH)) if parts.path in ("", "/") else url


def names(url: str, timeout_s: float) -> list[str]:
    """Return the names of a server's tools; blocks. Raises PoolUnavailable where it does not answer."""

    async def listed() -> list[str]:
        from mcp import Client

        async with Client(endpoint(url)) as client:
            return sorted(tool.name for tool in (await client.list_tools()).tools)

    return _blocking(listed, url, "a list of its tools", timeout_s)


def call(url: str, tool: str, arguments_of: Arguments, timeout_s: float) -> dict[str, Any]:
    """Return what a tool answers; blocks, so it is for a thread.

    A structured answer is returned as it is, a text that holds a JSON object as that object, another text under "text".
    Raises PoolUnavailable where the server does not answer within timeout_s, UnknownAction where it has no such tool,
    ToolFailed where the tool says no.
    """

    return _blocking(lambda: _call(url, tool, arguments_of), url, tool, timeout_s)


def _blocking(asked: Callable[[], Coroutine[Any, Any, T]], url: str, what: str, timeout_s: float) -> T:
    async def answered() -> T:
        async with asyncio.timeout(timeout_s):
            return await asked()

    try:
        return asyncio.run(answered())
    except TimeoutError as error:
        raise PoolUnavailable(f"{url} did not give {what} within {timeout_s:g} s") from error
    except Exception as error:
        raise _ours(error, url) from error


async def _call(url: str, tool: str, arguments_of: Arguments) -> dict[str, Any]:
    from mcp import Client

    async with Client(endpoint(url)) as client:
        tools = {each.name: each for each in (await client.list_tools()).tools}
        if tool not in tools:
            raise UnknownAction(f"{url} has no tool {tool!r}; it has: {', '.join(sorted(tools)) or 'none'}")
        names = frozenset(tools[tool].input_schema.get("properties", {}))
        answer = await client.call_tool(tool, arguments_of(names))
    text = "\n".join(part.text for part in answer.content if part.type == "text")
    if answer.is_error:
        raise ToolFailed(f"{tool}: {text or 'the tool failed without a word'}")
    return _result(answer.structured_content, text)


def _result(structured: Mapping[str, Any] | None, text: str) -> dict[str, Any]:
    if structured is not None:
        return dict(structured)
    try:
        found = json.loads(text)
    except ValueError:
        return {"text": text}
    return found if isinstance(found, dict) else {"result": found}


def _ours(error: BaseException, url: str) -> Exception:
    """Return the project's error within what the client raised; its task groups wrap errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, PoolUnavailable | ToolFailed | UnknownAction | ConfigError):
        return error
    return PoolUnavailable(f"{url} does not answer: {str(error) or type(error).__name__}")
