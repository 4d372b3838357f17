"""Who may call: the API key, the host name that was asked for, and the page that a request comes from."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.server.problems import problem
from streams.errors import ConfigError

KEY_VARIABLE = "FINAGENT_API_KEY"
OPEN = frozenset({"/health"})
"""Paths that need no key."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_exposure(host: str, key: str) -> None:
    """Raise ConfigError where the server would stand open to a network."""
    if not is_loopback(host) and not key:
        raise ConfigError(
            f"orchestrator.host {host!r} is not loopback and {KEY_VARIABLE} is not set: set it to a secret that "
            "clients must give, or use 127.0.0.1"
        )


class Gate:
    """Let in who names a known host, does not come from a foreign page, and has the key where there is one."""

    def __init__(self, app: ASGIApp, *, key: str, host: str) -> None:
        self._app = app
        self._key = key.encode()
        self._hosts = _NAMES | {host} if is_loopback(host) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        if self._hosts is not None and _name(headers.get("host", "")) not in self._hosts:
            # A page of another site can make its own name mean 127.0.0.1 (DNS rebinding).
            answer = problem(400, f"unknown Host {headers.get('host', '')!r}, expected {' or '.join(sorted(_NAMES))}")
        elif scope["method"] not in SAFE and is_foreign(headers):
            answer = problem(403, "a page of another origin may not change anything here")
        elif self._key and scope["path"] not in OPEN and not self._knows(headers):
            challenge = {"WWW-Authenticate": 'Basic realm="finagent", charset="UTF-8"'}
            answer = problem(401, "this needs the API key: Authorization: Bearer KEY, or X-API-Key: KEY", challenge)
        else:
            return await self._app(scope, receive, send)
        await answer(scope, receive, send)

    def _knows(self, headers: Headers) -> bool:
        # All are compared, each in constant time, so that the time tells nothing; one wrong one is enough to refuse.
        matches = [hmac.compare_digest(given, self._key) for given in candidates(headers)]
        return bool(matches) and all(matches)


def candidates(headers: Headers) -> Iterable[bytes]:
    """Yield the keys that a request gives."""
    if "x-api-key" in headers:
        yield headers["x-api-key"].encode()
    if "authorization" in headers:
        yield _authorized(headers["authorization"])


def _authorized(text: str) -> bytes:
    """Return the key in an Authorization header; empty, which is never right, where there is none."""
    scheme, _, value = text.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode()
    try:
        return base64.b64decode(value, validate=True).partition(b":")[2] if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        return b""


def is_foreign(headers: Headers) -> bool:
    """Return whether a browser says that a request comes from a page of another origin."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host", "")


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
