"""Live events by Server-Sent Events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from infra.server.events import TYPES, Subscriber
from infra.server.problems import Refused, responses
from infra.server.services import In

router = APIRouter(tags=["events"])
MEDIA_TYPE = "text/event-stream"
MAX_CLIENTS = 100
"""Clients that may listen at once."""
PING_S = 15.0
_STREAM = {"type": "string", "example": 'event: health\ndata: {"status": "healthy", "reasons": []}\nid: 7\n\n'}


async def subscriber(
    services: In,
    types: Annotated[
        str | None, Query(max_length=200, description=f"Some of {', '.join(TYPES)}, comma-separated; default: all.")
    ] = None,
    last_event_id: Annotated[
        str | None, Header(max_length=40, description="Sent by a browser that comes back: go on after this event.")
    ] = None,
) -> AsyncIterator[tuple[Subscriber, bool]]:
    """Subscribe for the length of the request; tells too whether events since the last visit are lost."""
    if services.hub.clients >= MAX_CLIENTS:
        raise Refused(429, f"{MAX_CLIENTS} clients listen already", retry_s=5)
    last = int(last_event_id) if last_event_id and last_event_id.isascii() and last_event_id.isdigit() else None
    with services.hub.subscribed(_types(types), last) as found:
        yield found, last is not None and services.hub.missed(last)


def _types(text: str | None) -> frozenset[str]:
    if text is None:
        return frozenset(TYPES)
    asked = {name.strip() for name in text.split(",")}
    if unknown := sorted(asked - set(TYPES)):
        raise Refused(422, f"unknown event type {unknown[0]!r}, expected some of {', '.join(TYPES)}")
    return frozenset(asked)


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"description": "Events", "content": {MEDIA_TYPE: {"schema": _STREAM}}}, **responses(422, 429)},
)
async def events(subscribed: Annotated[tuple[Subscriber, bool], Depends(subscriber)]) -> StreamingResponse:
    """Tell what happens as it happens; `data` is what the lists show. A comment every 15 s shows that it lives."""
    # Not FastAPI's own event stream: it logs an error whenever a client goes away while events flow (0.165).
    return StreamingResponse(_written(*subscribed), media_type=MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})


async def _written(heard: Subscriber, lost: bool) -> AsyncIterator[bytes]:
    yield format_sse_event(comment="connected")
    if lost:
        yield _note("resync", "events since your last visit are no longer kept: load the lists again")
    while True:
        try:
            async with asyncio.timeout(PING_S):
                event = await heard.queue.get()
        except TimeoutError:
            yield KEEPALIVE_COMMENT
            continue
        if event is None:
            break
        yield format_sse_event(data_str=event.data, event=event.type, id=str(event.id))
    if heard.dropped:
        yield _note("dropped", "this client was too slow: connect again, and load the lists again")
    else:
        yield _note("closed", "the server is shutting down")


def _note(kind: str, detail: str) -> bytes:
    return format_sse_event(data_str=json.dumps({"detail": detail}), event=kind)
