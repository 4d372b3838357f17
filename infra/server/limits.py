"""How much a client may ask for: requests per second, and bodies that are small, quick and plain JSON."""

from __future__ import annotations

import asyncio
import json
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.server.problems import RETRY_S, Refused, problem

MAX_CLIENTS = 4096
"""Client addresses that are remembered; the one longest unseen is forgotten."""
MAX_DEPTH = 32
"""Nested lists and objects of a body."""
BODY_S = 30.0
"""Time for a body to arrive, in seconds."""


@dataclass
class _Bucket:
    tokens: float
    filled: float


class RateLimit:
    """Let each client address make so many requests per second, with bursts of one second's worth."""

    def __init__(self, app: ASGIApp, *, per_s: float, clock: Callable[[], float]) -> None:
        self._app = app
        self._per_s = per_s
        self._burst = max(per_s, 1.0)
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._per_s or self._takes((scope.get("client") or ("",))[0]):
            return await self._app(scope, receive, send)
        detail = f"more than {self._per_s:g} requests per second"
        await problem(429, detail, {"Retry-After": str(RETRY_S)})(scope, receive, send)

    def _takes(self, client: str) -> bool:
        now = self._clock()
        bucket = self._buckets.pop(client, None) or _Bucket(self._burst, now)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled) * self._per_s)
        bucket.filled = now
        self._buckets[client] = bucket
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


class Admission:
    """Refuse new work while there is no room for it, before its body is looked at.

    A request with an Idempotency-Key goes on: it may repeat one that was let in.
    """

    def __init__(self, app: ASGIApp, *, full: Callable[[], str], paths: frozenset[str]) -> None:
        self._app = app
        self._full = full
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        new = scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._paths
        if new and "idempotency-key" not in Headers(scope=scope) and (why := self._full()):
            return await problem(429, why, {"Retry-After": str(RETRY_S)})(scope, receive, send)
        await self._app(scope, receive, send)


class BodyLimit:
    """Read each body before anything else does; refuse what is too large, too slow, no JSON or hostile JSON."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, timeout_s: float = BODY_S) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        try:
            body = await self._read(Headers(scope=scope), receive)
        except Refused as refused:
            # What still comes of the body is not read: the connection is of no more use.
            headers = {"Connection": "close"} if refused.status_code in (408, 413) else None
            return await problem(refused.status_code, refused.detail, headers)(scope, receive, send)
        if body is None:
            return None
        await self._app(scope, _replayed(body, receive), send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        """Return the body; None where the client went away."""
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared[:20]) > self._max_bytes:
            raise Refused(413, f"a body of {declared[:20]} bytes, expected at most {self._max_bytes}")
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > self._max_bytes:
                        raise Refused(413, f"a body of more than {self._max_bytes} bytes")
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise Refused(408, f"the body did not arrive within {self._timeout_s:g} s") from None
        if body:
            check_json(bytes(body), headers.get("content-type", ""))
        return bytes(body)


def check_json(body: bytes, content_type: str) -> None:
    """Raise Refused where a body is no JSON (RFC 8259), has numbers that are not finite, or is nested too deep."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, f"Content-Type {content_type[:80]!r}, expected application/json")
    try:
        value = json.loads(body.decode(), parse_constant=_not_finite, parse_float=_finite)
    except RecursionError:
        raise Refused(400, f"the body is nested more than {MAX_DEPTH} deep") from None
    except UnicodeDecodeError as error:
        raise Refused(400, f"the body is no UTF-8: {error.reason} at byte {error.start}") from None
    except ValueError as error:
        raise Refused(400, f"the body is no JSON: {error}") from None
    _check_depth(value)
    if b"\\u" in body:
        _check_text(value)


def _not_finite(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is beyond the range of a double")
    return value


def _check_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [each for each in level if isinstance(each, dict | list)]
        if not level:
            return
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    raise Refused(400, f"the body is nested more than {MAX_DEPTH} deep")


def _check_text(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused(400, "the body has half of a surrogate pair, which is no Unicode text") from None


def _replayed(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed
