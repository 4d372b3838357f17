"""Who may call the server, and what a hostile client gets."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server import STRATEGY, asgi, served, settings_in

KEY = "a secret of this test"
NEVER = ("/shutdown",)


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with asgi(settings_in(tmp_path), key=KEY) as client:
        yield client


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with asgi(settings_in(tmp_path)) as client:
        yield client


def routes(document: dict[str, Any]) -> list[tuple[str, str]]:
    paths = {path: path.replace("{", "").replace("}", "") for path in document["paths"]}
    return [(method, path) for name, path in paths.items() for method in document["paths"][name]]


async def test_without_the_key_nothing_but_health_is_answered(locked: httpx.AsyncClient) -> None:
    document = (await locked.get("/openapi.json", headers={"X-API-Key": KEY})).json()
    pages = [("get", path) for path in ("/", "/docs", "/openapi.json", "/static/x.js", "/nowhere", "/health/")]
    assert len(routes(document)) > 25
    for method, path in routes(document) + pages:
        for headers in (
            {},
            {"X-API-Key": "wrong"},
            {"Authorization": f"Bearer {KEY}x"},
            {"Authorization": "Basic !", "X-API-Key": KEY},
        ):
            answer = await locked.request(method, path, headers=headers)
            assert (answer.status_code == 401) == (path != "/health"), (method, path, answer.status_code)
            if path != "/health":
                assert answer.headers["www-authenticate"].startswith("Basic ")
                assert answer.headers["content-type"] == "application/problem+json"
                assert KEY not in answer.text
    assert (await locked.get("/strategies", headers={"X-API-Key": KEY})).json()["items"] == []


async def test_the_key_opens_every_route_each_way(locked: httpx.AsyncClient) -> None:
    basic = base64.b64encode(f"anyone:{KEY}".encode()).decode()
    ways = ({"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}, {"Authorization": f"Basic {basic}"})
    document = (await locked.get("/openapi.json", headers=ways[0])).json()
    for method, path in routes(document):
        if path in NEVER or path == "/events":
            continue
        for headers in ways:
            answer = await locked.request(method, path, headers=headers)
            assert answer.status_code not in (401, 403, 500), (method, path, answer.text)


async def test_the_document_says_which_routes_need_the_key(locked: httpx.AsyncClient, api: httpx.AsyncClient) -> None:
    document = (await locked.get("/openapi.json", headers={"X-API-Key": KEY})).json()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == (path != "/health")
            assert ("401" in operation["responses"]) == (path != "/health")
    open_document = (await api.get("/openapi.json")).json()
    assert not any("security" in each for operations in open_document["paths"].values() for each in operations.values())


async def test_pages_of_other_origins_change_nothing(api: httpx.AsyncClient) -> None:
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        answer = await api.post("/strategies", json=STRATEGY, headers=headers)
        assert answer.status_code == 403, headers
        assert (await api.delete("/strategies/trend", headers=headers)).status_code == 403
        read = await api.get("/strategies", headers=headers)
        assert read.status_code == 200
        assert "access-control-allow-origin" not in read.headers
    assert (await api.get("/strategies")).json()["items"] == []
    own = {"Origin": "http://127.0.0.1:9000", "Sec-Fetch-Site": "same-origin"}
    assert (await api.post("/strategies", json=STRATEGY, headers=own)).status_code == 202


async def test_a_foreign_host_name_is_refused_on_loopback(api: httpx.AsyncClient) -> None:
    for host in ("evil.example", "evil.example:9000", "127.0.0.1.evil.example", "", "[::1", "localhost.evil"):
        assert (await api.get("/status", headers={"Host": host})).status_code == 400, host
    for host in ("localhost", "127.0.0.1:1", "[::1]:9000", "LOCALHOST:9000"):
        assert (await api.get("/status", headers={"Host": host})).status_code == 200, host


async def test_every_answer_carries_the_security_headers(locked: httpx.AsyncClient) -> None:
    for path in ("/health", "/status", "/", "/nowhere", "/static/nothing.js"):
        for headers in ({}, {"X-API-Key": KEY}):
            answer = await locked.get(path, headers=headers)
            assert "default-src 'self'" in answer.headers["content-security-policy"], path
            assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "server" not in answer.headers


BODIES: dict[str, tuple[bytes, int]] = {
    "no JSON": (b"{", 400),
    "empty": (b"", 422),
    "bad UTF-8": (b'{"name": "\xff\xfe"}', 400),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), 400),
    "NaN": (b'{"parameters": {"a": NaN}}', 400),
    "Infinity": (b'{"parameters": {"a": -Infinity}}', 400),
    "overflow": (b'{"parameters": {"a": 1e999}}', 400),
    "a number of 100,000 digits": (b'{"parameters": {"a": ' + b"9" * 100_000 + b"}}", 400),
    "half a surrogate": (b'{"name": "\\ud800"}', 400),
    "40 deep": (b'{"parameters": ' + b"[" * 40 + b"]" * 40 + b"}", 400),
    "500,000 deep": (b"[" * 500_000, 400),
    "a list": (b"[]", 422),
    "null": (b"null", 422),
    "one megabyte of keys": (json.dumps({f"k{n}": n for n in range(60_000)}).encode(), 422),
    "too large": (b'"' + b"x" * 1_048_576 + b'"', 413),
}


async def test_a_hostile_body_is_refused(api: httpx.AsyncClient) -> None:
    for path in ("/strategies", "/workflows", "/backtest", "/kill-switch"):
        for what, (body, status) in BODIES.items():
            answer = await api.post(path, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == status, (path, what, answer.text[:300])
            assert answer.headers["content-type"] == "application/problem+json"
            assert len(answer.content) < 20_000


async def test_only_json_is_taken(api: httpx.AsyncClient) -> None:
    body = json.dumps(STRATEGY).encode()
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "application/xml",
    ):
        answer = await api.post("/strategies", content=body, headers={"Content-Type": kind})
        assert answer.status_code == 415, kind
    answer = await api.post("/strategies", content=body, headers={"Content-Type": "application/JSON; charset=utf-8"})
    assert answer.status_code == 202


async def test_a_client_that_asks_too_often_is_told_to_wait(tmp_path: Path) -> None:
    async with asgi(settings_in(tmp_path, server={"rate_limit_per_s": 1}), key=KEY) as client:
        statuses = [(await client.get("/health")).status_code for _ in range(10)]
        assert statuses[0] == 200
        assert 429 in statuses
        while (answer := await client.get("/status", headers={"X-API-Key": "guess"})).status_code != 429:
            assert answer.status_code == 401
        assert int(answer.headers["retry-after"]) >= 1


async def sent(port: int, *parts: bytes) -> bytes:
    """Send bytes over a socket and return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()


HEAD = b"POST /strategies HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


async def test_what_a_socket_may_send(tmp_path: Path) -> None:
    async with served(settings_in(tmp_path, server={"max_body_bytes": 2048})) as client:
        port = client.base_url.port
        assert port is not None
        chunk = b"400\r\n" + b" " * 1024 + b"\r\n"
        chunked = await sent(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunk, chunk, chunk)
        assert chunked.startswith(b"HTTP/1.1 413 ")
        declared = await sent(port, HEAD + b"Content-Length: 999999999999\r\n\r\n")
        assert declared.startswith(b"HTTP/1.1 413 ")
        for wrong in (
            b"GET /status HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"FOO\r\n\r\n",
            b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
            HEAD + b"Content-Length: -5\r\n\r\n",
            HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
        ):
            assert (await sent(port, wrong)).split(b" ")[1][:1] == b"4", wrong[:40]
        for method in (b"TRACE", b"CONNECT", b"PATCH", b"PROPFIND", b"BREW"):
            said = await sent(port, method + b" /status HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            assert said.split(b" ")[1] in (b"405", b"400", b"404"), (method, said[:60])
        assert (await client.get("/health")).status_code == 200
