"""Live events: what happens is heard as it happens, and no client holds up another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from infra.server.events import KEPT, QUEUE, TYPES, EventHub, Subscriber
from tests.server import RUN, STRATEGY, half_year, served, settings_in, until

CONNECTED = "connected"
Heard = tuple[str, dict[str, Any], int | None]


async def events(
    client: httpx.AsyncClient, headers: dict[str, str] | None = None, **query: str
) -> AsyncGenerator[Heard, None]:
    """Yield (type, data, id) as an EventSource would."""
    async with client.stream("GET", "/events", params=query, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        found: dict[str, str] = {}
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if line and not line.startswith(":"):
                found[name] = value
            elif line == ": connected":
                yield CONNECTED, {}, None
            elif "event" in found:
                yield found["event"], json.loads(found["data"]), int(found["id"]) if "id" in found else None
                found = {}
            else:
                found = {}


async def first(stream: AsyncIterator[Heard], kind: str) -> Heard:
    async with asyncio.timeout(60):
        async for heard in stream:
            if heard[0] == kind:
                return heard
    raise AssertionError(f"the stream ended without {kind}")


async def test_a_run_is_heard_from_its_submission_to_its_last_slice(tmp_path: Path) -> None:
    heard: list[Heard] = []
    async with served(settings_in(tmp_path), feed=half_year()) as client:
        stream = events(client, types="strategy,order,fill,position,workflow,feed")
        await first(stream, CONNECTED)
        assert (await client.post("/strategies", json=RUN)).status_code == 202
        async with asyncio.timeout(60):
            async for each in stream:
                heard.append(each)
                if each[0] == "position" and each[1]["updated"].startswith("2012-06-29"):
                    break
        await stream.aclose()
        listed = (await client.get("/fills?limit=1000")).json()["items"]
    assert {kind for kind, _, _ in heard} == {"strategy", "order", "fill", "position", "workflow", "feed"}
    statuses = [data["status"] for kind, data, _ in heard if kind == "strategy"]
    assert (statuses[0], statuses[-1]) == ("running", "active")
    ids = [number for _, _, number in heard if number is not None]
    assert ids == sorted(set(ids))
    fills = [data for kind, data, _ in heard if kind == "fill"]
    assert fills == listed[::-1]


async def test_who_comes_back_hears_what_was_missed(tmp_path: Path) -> None:
    async with served(settings_in(tmp_path)) as client:
        stream = events(client, types="workflow")
        await first(stream, CONNECTED)
        await client.post("/strategies", json=STRATEGY)
        _, _, number = await first(stream, "workflow")
        assert number is not None
        await stream.aclose()
        await until(client, "/strategies/trend", lambda each: each["status"] == "completed")
        again = events(client, {"Last-Event-ID": str(number)}, types="workflow")
        async with asyncio.timeout(30):
            async for kind, data, later in again:
                assert kind == CONNECTED or (later or 0) > number
                if data.get("status") == "completed":
                    break
        await again.aclose()
        late = events(client, {"Last-Event-ID": "1"})
        assert (await first(late, "resync"))[1]["detail"]
        await late.aclose()


async def test_an_unknown_type_is_refused(tmp_path: Path) -> None:
    async with served(settings_in(tmp_path)) as client:
        answer = await client.get("/events?types=fill,gossip")
        assert answer.status_code == 422
        assert "gossip" in answer.json()["detail"]


async def test_streams_end_with_the_server(tmp_path: Path) -> None:
    async with served(settings_in(tmp_path)) as client:
        stream = events(client)
        await first(stream, CONNECTED)
        assert (await client.post("/shutdown")).status_code == 202
        assert "shutting down" in (await first(stream, "closed"))[1]["detail"]


async def test_a_client_that_does_not_read_is_dropped_and_the_others_hear_on() -> None:
    hub = EventHub(first_id=1)
    with hub.subscribed(frozenset(TYPES)) as slow, hub.subscribed(frozenset({"fill"})) as quick:
        heard: list[int] = []
        reading = asyncio.create_task(read(quick, heard))
        for number in range(QUEUE + 50):
            hub.tell("fill", lambda number=number: str(number))  # type: ignore[misc]
            if number % 100 == 0:
                await asyncio.sleep(0)
        hub.close()
        await reading
        assert slow.dropped
        assert slow.queue.qsize() <= QUEUE + 1
        missed: list[int] = []
        await read(slow, missed)
        assert missed == heard[:QUEUE]
    assert heard == list(range(1, QUEUE + 51))
    assert hub.clients == 0


async def read(subscriber: Subscriber, heard: list[int]) -> None:
    while (event := await subscriber.queue.get()) is not None:
        heard.append(event.id)


def test_what_nobody_hears_is_not_written() -> None:
    written: list[int] = []
    hub = EventHub(first_id=1)
    for number in range(2 * KEPT):
        hub.tell("fill", lambda number=number: str(written.append(number)))  # type: ignore[misc]
    assert written == []
    assert hub.missed(1)
    assert not hub.missed(KEPT)
