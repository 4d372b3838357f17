"""Live events for any number of clients, none of which holds the others or the server up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property

QUEUE = 1000
"""Events that may wait for a client; one that is further behind is dropped."""
KEPT = 1000
"""Newest events that a client which comes back is given again."""
TYPES = (
    "signal",
    "order",
    "fill",
    "denial",
    "report",
    "position",
    "workflow",
    "strategy",
    "risk",
    "topics",
    "health",
    "backtest",
    "feed",
)
"""What there is to hear of."""


@dataclass
class LiveEvent:
    """Something that happened; written as JSON once, when the first client is to hear it."""

    id: int
    type: str
    write: Callable[[], str] = field(repr=False)

    @cached_property
    def data(self) -> str:
        """Return it as JSON."""
        return self.write()


@dataclass(eq=False)
class Subscriber:
    """A client's own queue."""

    types: frozenset[str]
    queue: asyncio.Queue[LiveEvent | None] = field(default_factory=lambda: asyncio.Queue(QUEUE + 1))
    """What it is to hear; None ends it."""
    dropped: bool = False

    def offer(self, event: LiveEvent) -> None:
        """Queue an event; a client that is too far behind hears no more."""
        if self.dropped or event.type not in self.types:
            return
        if self.queue.qsize() >= QUEUE:
            self.dropped = True
            self.end()
        else:
            self.queue.put_nowait(event)

    def end(self) -> None:
        """End the stream after what is queued."""
        with suppress(asyncio.QueueFull):
            self.queue.put_nowait(None)


class EventHub:
    """Tell every subscriber what happens."""

    def __init__(self, first_id: int) -> None:
        self._next = first_id
        self._kept: deque[LiveEvent] = deque(maxlen=KEPT)
        self._subscribers: set[Subscriber] = set()
        self._closed = False

    def tell(self, kind: str, write: Callable[[], str]) -> None:
        """Tell of something; write makes its JSON, and is called only where somebody hears it."""
        event = LiveEvent(self._next, kind, write)
        self._next += 1
        self._kept.append(event)
        for each in self._subscribers:
            each.offer(event)

    def wants(self, kind: str) -> bool:
        """Return whether anybody hears of such events now."""
        return any(kind in each.types for each in self._subscribers)

    @property
    def clients(self) -> int:
        """Return how many listen."""
        return len(self._subscribers)

    def missed(self, last_id: int) -> bool:
        """Return whether events after an id are no longer kept."""
        return bool(self._kept) and last_id + 1 < self._kept[0].id

    @contextmanager
    def subscribed(self, types: frozenset[str], last_id: int | None = None) -> Iterator[Subscriber]:
        """Listen for the length of the block, from what came after last_id where that is still kept."""
        subscriber = Subscriber(types)
        for event in self._kept if last_id is not None else ():
            if last_id is not None and event.id > last_id:
                subscriber.offer(event)
        if self._closed:
            subscriber.end()
        self._subscribers.add(subscriber)
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)

    def close(self) -> None:
        """End every stream, now and from now on."""
        self._closed = True
        for each in self._subscribers:
            each.end()
