"""Reading the memory: events newest first by what they refer to, the latest state of runs, the log in plain words."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from heapq import merge
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agents.memory.entry import SUBJECTS, symbol_of
from agents.memory.keys import (
    OFFSETS,
    RUNS,
    account_key,
    event_key,
    id_of,
    reference_key,
    run_key,
    topic_key,
    ts_of,
)
from agents.memory.latest import Document, value_of
from streams.errors import MissingData
from streams.store import Store
from streams.topics import TOPICS, dead_letters

MAX_LIMIT = 1000
"""Events of one answer."""
_PAGE = 200
_SMALL_PAGE = 20
_DATA = ("ticks", "bars", "history")
_EVERYTHING = tuple(name for topic in TOPICS for name in (topic, dead_letters(topic)))
_BY_REFERENCE = ("causation_id", "order_id", "workflow_id", "run_id", "correlation_id", "account_id", "strategy_id")
"""Filters that an index answers, those that leave least first."""


class Wanted(BaseModel):
    """Which events are asked for; all that is given must hold."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    message_id: str | None = None
    """The event itself."""
    correlation_id: str | None = None
    """Events of one run or workflow."""
    causation_id: str | None = None
    """What an event, or a market-data row, led to directly."""
    strategy_id: str | None = None
    """Events that name a strategy."""
    run_id: str | None = None
    """Events that name a run."""
    account_id: str | None = None
    """Events that name an account."""
    workflow_id: str | None = None
    """Events that name a workflow."""
    order_id: str | None = None
    """The life of an order."""
    symbol: str | None = None
    """Events about an instrument: SYMBOL or SYMBOL.VENUE."""
    topic: str | None = None
    """Events on one topic."""
    kind: str | None = None
    """Messages of one type, for example OrderFilled or DeadLetter."""
    start: int | None = None
    """Happened at this time or later, ns UTC."""
    end: int | None = None
    """Happened before this time, ns UTC."""
    limit: int = Field(default=100, ge=1, le=MAX_LIMIT)
    """At most so many, the newest ones."""
    cursor: str | None = None
    """Go on behind the event with this cursor."""

    def holds(self, document: Mapping[str, Any]) -> bool:
        """Return whether a document is wanted, its time aside."""
        names = ("message_id", "correlation_id", "causation_id", "topic", *SUBJECTS)
        exact = all(getattr(self, name) in (None, document.get(name)) for name in names)
        about = self.symbol is None or any(_same(self.symbol, name) for name in document.get("instruments", ()))
        return exact and about and self.kind in (None, document["type"])


class Memory:
    """Reads what a memory agent keeps in a store; every failure of the store is a StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def query(self, wanted: Wanted | None = None, **fields: Any) -> list[dict[str, Any]]:
        """Return events as plain dicts, newest recorded first; fields are those of Wanted.

        The cursor of the last one leads on to older ones. Raises MissingData where no memory agent has written.
        """
        asked = wanted or Wanted(**fields)
        return await self._found(asked, _sources(asked))

    async def log(self, limit: int = 100, cursor: str | None = None) -> list[dict[str, Any]]:
        """Return what happened, market data left out, newest first; `says` has it in plain words."""
        asked = Wanted(limit=limit, cursor=cursor)
        topics = [name for name in _EVERYTHING if name not in _DATA]
        return await self._found(asked, [topic_key(name) for name in topics])

    async def latest(self, run_id: str) -> dict[str, Any]:
        """Return the latest state of a run: definition, status, positions, last signals, counts.

        Raises MissingData for a run that memory does not have.
        """
        (document,) = await self._documents([run_key(run_id)])
        if document is None:
            await self._require_content()
            raise MissingData(f"memory has no run {run_id!r}")
        return await self._run(run_id, document)

    async def runs(self, strategy_id: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """Return the latest state of the runs that began last, newest first; of one strategy, where it is named."""
        (listed,) = await self._store.highest([RUNS], MAX_LIMIT if strategy_id else limit)
        run_ids = [each.decode().partition(" ")[2] for each in listed]
        documents = zip(run_ids, await self._documents([run_key(run_id) for run_id in run_ids]), strict=True)
        known = [(name, each, value_of(each, "started") or {}) for name, each in documents if each]
        mine = [(name, each) for name, each, run in known if strategy_id in (None, run.get("strategy_id"))]
        return [await self._run(run_id, document) for run_id, document in mine[:limit]]

    async def _run(self, run_id: str, document: Document) -> dict[str, Any]:
        started, stopped = value_of(document, "started") or {}, value_of(document, "stopped")
        account_id = started.get("account_id", "")
        (account,) = await self._documents([account_key(account_id)])
        workflows = await self.query(workflow_id=started.get("workflow_id", run_id), topic="workflows", limit=1)
        signals = {name: each for name, (_, each) in document["facts"].items() if name.startswith("signal ")}
        return {
            "run_id": run_id,
            "strategy_id": started.get("strategy_id"),
            "account_id": account_id or None,
            "status": "stopped" if stopped else "active",
            "definition": started or None,
            "stopped": stopped,
            "workflow": workflows[0]["message"] if workflows else None,
            "account": account and value_of(account, "positions"),
            "kill_switch": account and value_of(account, "kill_switch"),
            "signals": {each["instrument_id"]: each for each in signals.values()},
            "counts": document["counts"],
        }

    async def _documents(self, keys: Sequence[str]) -> list[Document | None]:
        return [json.loads(value) if value else None for value in await self._store.get_many(keys)]

    async def _require_content(self) -> None:
        if await self._store.get(OFFSETS) is None:
            raise MissingData("no memory agent has written to this store yet: start one with `finagent memory`")

    async def _found(self, asked: Wanted, sources: Sequence[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async for document in self._matching(asked, sources):
            found.append(document)
            if len(found) == asked.limit:
                break
        if not found:
            await self._require_content()
        return found

    async def _matching(self, asked: Wanted, sources: Sequence[str]) -> AsyncIterator[dict[str, Any]]:
        if asked.message_id is not None:
            for document in await self._events([asked.message_id]):
                if asked.holds(document) and _within(asked, document["cursor"]):
                    yield document
            return
        below = asked.cursor
        size = min(max(asked.limit, _SMALL_PAGE), _PAGE)
        while page := await self._page(sources, below, size):
            for document in await self._events([id_of(each) for each in page if _within(asked, each)]):
                if asked.holds(document):
                    yield document
            below = page[-1]

    async def _page(self, sources: Sequence[str], below: str | None, size: int) -> list[str]:
        """Return the next positions of all sources together, highest first."""
        found = await self._store.highest(sources, size, below.encode() if below is not None else None)
        merged = merge(*([position.decode() for position in each] for each in found), reverse=True)
        return list(dict.fromkeys(merged))[:size]

    async def _events(self, message_ids: Sequence[str]) -> list[dict[str, Any]]:
        return [each for each in await self._documents([event_key(name) for name in message_ids]) if each]


def _sources(asked: Wanted) -> list[str]:
    """Return the ordered sets to read: of the filters given, those of one that leaves little."""
    named = next((value for name in _BY_REFERENCE if (value := getattr(asked, name))), None)
    if named is not None:
        return [reference_key(named)]
    if asked.symbol is not None:
        return [reference_key(name) for name in dict.fromkeys((asked.symbol, symbol_of(asked.symbol)))]
    return [topic_key(asked.topic)] if asked.topic is not None else [topic_key(name) for name in _EVERYTHING]


def _within(asked: Wanted, position: str) -> bool:
    ts = ts_of(position)
    return (asked.start is None or ts >= asked.start) and (asked.end is None or ts < asked.end)


def _same(wanted: str, name: str) -> bool:
    return wanted in (name, symbol_of(name)) or symbol_of(wanted) == name
