"""What the server's limits let through, and for how long they remember."""

from __future__ import annotations

import pytest
from starlette.types import Message, Receive, Scope, Send

from infra.server.auth import check_exposure, is_loopback
from infra.server.limits import MAX_CLIENTS, MAX_DEPTH, Admission, BodyLimit, RateLimit, check_json
from infra.server.problems import Refused
from streams.errors import ConfigError


class Answers:
    """An app that answers 200, and what came out of the middleware in front of it."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.statuses.append(message["status"])


def scope(client: str = "10.0.0.1", headers: list[tuple[bytes, bytes]] | None = None) -> Scope:
    return {"type": "http", "method": "POST", "path": "/x", "client": (client, 1), "headers": headers or []}


async def nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def test_a_client_gets_its_rate_and_a_burst_of_one_second() -> None:
    now, answers = [0.0], Answers()
    limit = RateLimit(answers.app, per_s=2, clock=lambda: now[0])
    for _ in range(3):
        await limit(scope(), nothing, answers.send)
    assert answers.statuses == [200, 200, 429]
    now[0] = 0.5
    for _ in range(2):
        await limit(scope(), nothing, answers.send)
    assert answers.statuses[3:] == [200, 429]
    await limit(scope("10.0.0.2"), nothing, answers.send)
    assert answers.statuses[-1] == 200
    now[0] = 1_000.0
    for _ in range(3):
        await limit(scope(), nothing, answers.send)
    assert answers.statuses[-3:] == [200, 200, 429]


async def test_new_work_is_refused_unread_while_there_is_no_room() -> None:
    why, answers = ["100 are in flight"], Answers()
    gate = Admission(answers.app, full=lambda: why[0], paths=frozenset({"/x"}))
    await gate(scope(), nothing, answers.send)
    assert (answers.statuses, answers.bodies) == ([429], [])
    await gate(scope(headers=[(b"idempotency-key", b"k")]), nothing, answers.send)
    await gate(scope() | {"path": "/y"}, nothing, answers.send)
    await gate(scope() | {"method": "GET"}, nothing, answers.send)
    why[0] = ""
    await gate(scope(), nothing, answers.send)
    assert answers.statuses == [429, 200, 200, 200, 200]


async def test_a_flood_of_addresses_does_not_grow_the_memory() -> None:
    answers = Answers()
    limit = RateLimit(answers.app, per_s=1, clock=lambda: 0.0)
    for number in range(MAX_CLIENTS + 100):
        await limit(scope(f"client {number}"), nothing, answers.send)
    assert len(limit._buckets) == MAX_CLIENTS


async def test_zero_is_no_limit() -> None:
    answers = Answers()
    limit = RateLimit(answers.app, per_s=0, clock=lambda: 0.0)
    for _ in range(1000):
        await limit(scope(), nothing, answers.send)
    assert set(answers.statuses) == {200}


async def test_a_body_that_trickles_in_is_given_up() -> None:
    answers = Answers()

    async def slow() -> Message:
        import asyncio

        await asyncio.Event().wait()
        raise AssertionError

    await BodyLimit(answers.app, max_bytes=100, timeout_s=0.05)(scope(), slow, answers.send)
    assert (answers.statuses, answers.bodies) == ([408], [])


async def test_a_body_is_counted_as_it_streams() -> None:
    answers, sent = Answers(), 0

    async def endless() -> Message:
        nonlocal sent
        sent += 1
        return {"type": "http.request", "body": b" " * 40, "more_body": True}

    await BodyLimit(answers.app, max_bytes=100)(scope(), endless, answers.send)
    assert (answers.statuses, sent) == ([413], 3)


async def test_the_app_gets_the_body_whole() -> None:
    answers, parts = Answers(), [b'{"a":', b" 1}"]

    async def two() -> Message:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    headers = [(b"content-type", b"application/json")]
    await BodyLimit(answers.app, max_bytes=100)(scope(headers=headers), two, answers.send)
    assert answers.bodies == [b'{"a": 1}']


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "text/plain", 415),
        (b"{}", "", 415),
        (b"{", "application/json", 400),
        (b"NaN", "application/json", 400),
        (b"-1e400", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'"\\udead"', "application/json", 400),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
    ],
)
def test_what_is_no_plain_json_is_refused(body: bytes, kind: str, status: int) -> None:
    with pytest.raises(Refused) as raised:
        check_json(body, kind)
    assert raised.value.status_code == status


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": [1, 2.5, null, true, "x"]}',
        '"köy 🙂"'.encode(),
        b'"\\ud83d\\ude42"',
        b"1e308",
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
    ],
)
def test_plain_json_passes(body: bytes) -> None:
    check_json(body, "application/json; charset=utf-8")


def test_an_address_that_is_not_loopback_needs_a_key() -> None:
    assert [host for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost") if not is_loopback(host)] == []
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org", ""):
        assert not is_loopback(host)
        with pytest.raises(ConfigError, match="FINAGENT_API_KEY"):
            check_exposure(host, "")
        check_exposure(host, "key")
    check_exposure("127.0.0.1", "")
