"""A small HTTP/1.1 client over one kept connection: the load must not cost more than what it loads."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

ANSWER_S = 30.0
"""Time for an answer, in seconds."""


@dataclass
class Connection:
    """One connection, used by one caller at a time."""

    host: str
    port: int

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self.host, self.port)
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._writer.close()

    async def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and decoded body of an answer; raise OSError or TimeoutError where there is none."""
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nContent-Length: {len(content)}\r\n"
        self._writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + content)
        async with asyncio.timeout(ANSWER_S):
            status, length = await self._head()
            answer = await self._reader.readexactly(length)
        return status, json.loads(answer) if answer.startswith((b"{", b"[")) else answer.decode()

    async def _head(self) -> tuple[int, int]:
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), int(headers["content-length"])
