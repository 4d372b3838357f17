"""Signals, orders, fills and denials, newest first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from infra.server.history import History, Seen
from infra.server.items import DenialItem, FillItem, ItemT, OrderItem, SignalItem, item_of
from infra.server.models import Page
from infra.server.problems import responses
from infra.server.services import In, Limit, RecordCursor

router = APIRouter(tags=["records"])
_Name = Annotated[str | None, Query(max_length=256)]


@dataclass(frozen=True)
class Wanted:
    """Which records, and which page of them."""

    limit: Limit = 100
    cursor: RecordCursor = None
    run_id: _Name = None
    account_id: _Name = None
    instrument_id: _Name = None

    def matches(self, seen: Seen[Any]) -> bool:
        """Return whether a record is of the run, the account and the instrument that were asked for."""
        names = ("run_id", "account_id", "instrument_id")
        asked = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return all(getattr(seen.message, name) == value for name, value in asked.items())


Asked = Annotated[Wanted, Depends()]


def _page(history: History[Any], asked: Wanted, shown: Callable[[Seen[Any]], ItemT]) -> Page[ItemT]:
    found, following = history.page(asked.limit, asked.cursor, asked.matches)
    return Page(items=[shown(seen) for seen in found], next=following)


@router.get("/signals", response_model=Page[SignalItem], responses=responses(422))
async def signals(services: In, asked: Asked) -> Page[SignalItem]:
    """List what alpha pools think."""
    return _page(services.live.signals, asked, lambda seen: item_of(seen, SignalItem))


@router.get("/orders", response_model=Page[OrderItem], responses=responses(422))
async def orders(services: In, asked: Asked) -> Page[OrderItem]:
    """List orders, each with what the venue has made of it."""
    return _page(services.live.orders, asked, services.live.orders_state.item)


@router.get("/fills", response_model=Page[FillItem], responses=responses(422))
async def fills(services: In, asked: Asked) -> Page[FillItem]:
    """List trades."""
    return _page(services.live.fills, asked, lambda seen: item_of(seen, FillItem))


@router.get("/denials", response_model=Page[DenialItem], responses=responses(422))
async def denials(services: In, asked: Asked) -> Page[DenialItem]:
    """List what risk denied."""
    return _page(services.live.denials, asked, lambda seen: item_of(seen, DenialItem))
