"""The shared memory of the agents."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from agents.memory.reader import Memory
from infra.server.models import MemoryAnswer
from infra.server.problems import RETRY_S, Refused, responses
from infra.server.services import In, Limit
from streams.errors import ConfigError, MissingData
from streams.record import nanoseconds

router = APIRouter(tags=["memory"])
_Name = Annotated[str | None, Query(min_length=1, max_length=256)]
_Cursor = Annotated[
    str | None, Query(min_length=1, max_length=400, description="The `next` of the page before; without it the newest.")
]
_Time = Annotated[str | None, Query(max_length=40, description="RFC 3339 in UTC, such as 2012-06-20T13:30:00Z.")]


@router.get("/memory", response_model=MemoryAnswer, responses=responses(422, 503))
async def memory(
    services: In,
    strategy_id: _Name = None,
    id: _Name = None,  # noqa: A002  # the name of the query's parameter
    correlation_id: _Name = None,
    symbol: _Name = None,
    topic: _Name = None,
    start: _Time = None,
    end: _Time = None,
    limit: Limit = 100,
    cursor: _Cursor = None,
) -> MemoryAnswer:
    """Ask the shared memory for events, newest recorded first; all that is given must hold."""
    asked: dict[str, Any] = {
        "strategy_id": strategy_id,
        "message_id": id,
        "correlation_id": correlation_id,
        "symbol": symbol,
        "topic": topic,
        "start": _time("start", start),
        "end": _time("end", end),
        "cursor": cursor,
    }
    try:
        found = await Memory(services.orchestrator.store).query(limit=limit, **asked)
    except MissingData as error:
        raise Refused(503, str(error), retry_s=RETRY_S) from error
    return MemoryAnswer(items=found, next=found[-1]["cursor"] if len(found) == limit else None)


def _time(name: str, text: str | None) -> int | None:
    try:
        return nanoseconds(text) if text else None
    except (ValueError, OverflowError):
        raise ConfigError(f"{name} {text!r} is no time in UTC such as 2012-06-20T13:30:00Z") from None
