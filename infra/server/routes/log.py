"""The log itself: topics, dead letters, policies, chains of decisions."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from infra.server import models as m
from infra.server.history import place_of
from infra.server.pages import paged
from infra.server.problems import Refused, responses
from infra.server.services import Cursor, In, Limit, RecordCursor
from orchestrator import trace as tracing
from streams.record import rfc3339

router = APIRouter(tags=["log"])
TRACE_S = 60.0
"""Time for reading the log for one chain, in seconds."""


@router.get("/topics", response_model=m.Page[m.TopicView], responses=responses(503))
async def topics(services: In) -> m.Page[m.TopicView]:
    """List the topics with their rates, and how far each task is behind."""
    return m.Page(items=await services.watch.look_at_topics())


@router.get("/dead-letters", response_model=m.Page[m.DeadLetterView], responses=responses(422))
async def dead_letters(
    services: In,
    limit: Limit = 100,
    cursor: RecordCursor = None,
    topic: Annotated[str | None, Query(max_length=256)] = None,
) -> m.Page[m.DeadLetterView]:
    """List records that no handler could take, of all topics or one, and why."""
    before = None if cursor is None else place_of(cursor)
    items, following = services.live.dead_letters.page(topic, limit, before)
    return m.Page(items=items, next=following)


@router.get("/policies", response_model=m.Page[m.PolicyView], responses=responses(403, 422))
async def policies(services: In, limit: Limit = 100, cursor: Cursor = None) -> m.Page[m.PolicyView]:
    """List trained policies, the newest version of each."""
    if not services.settings.orchestrator.enable_rl:
        raise Refused(403, "orchestrator.enable_rl is false")
    found = services.live.policies.values()
    page, following = paged(found, limit, cursor, lambda each: (each.ts_event, each.policy_id))
    items = [
        m.PolicyView(
            policy_id=each.policy_id,
            version=each.version,
            algorithm=each.algorithm,
            training_id=each.training_id,
            sha256=each.sha256,
            bytes=len(each.weights),
            metadata=each.metadata,
            time=rfc3339(each.ts_event),
        )
        for each in page
    ]
    return m.Page(items=items, next=following)


@router.get("/trace/{message_id}", response_model=m.Chain, responses=responses(404, 503))
async def trace(message_id: str, services: In) -> m.Chain:
    """Show what led to a fill, an order or any other message, back to market data; `last`: the last fill."""
    orchestrator = services.orchestrator
    try:
        async with asyncio.timeout(TRACE_S), services.tracing:
            links = await tracing.trace(orchestrator.broker, orchestrator.serde, message_id)
    except TimeoutError:
        raise Refused(503, f"the log could not be read within {TRACE_S:g} s") from None
    return m.Chain(
        items=[
            m.ChainLink(
                **{name: value for name, value in asdict(link).items() if name != "ts"},
                time=rfc3339(link.ts) if link.ts >= 0 else None,
            )
            for link in links
        ]
    )
