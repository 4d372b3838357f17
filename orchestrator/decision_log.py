"""The decisions and commands of a log, by id and by what caused them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from orchestrator.summaries import summary
from schemas import OrderFilled, StrategyStarted, Workflow
from streams.errors import MissingData
from streams.record import Event

LAST = "last"
"""Stands for the id of the last fill."""
SHORTEST = 4
"""Characters that the beginning of an id must have to stand for it."""


class Log:
    """Decisions and commands by id; market data is not among them."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.events: dict[str, Event] = {}
        self.children: dict[str, list[Event]] = defaultdict(list)
        """By causation id; a fill also by the row that it matched on."""
        self.runs: dict[str, Event] = {}
        """Announcements by run_id."""
        self.workflows: dict[str, Event] = {}
        """Latest states by workflow_id."""
        for event in sorted(events, key=ts_of):
            self._learn(event)
        self.fills = [event for event in self.events.values() if isinstance(event.message, OrderFilled)]

    def _learn(self, event: Event) -> None:
        message, said = event.message, event.envelope
        self.events[said.message_id] = event
        self.children[said.causation_id].append(event)
        if isinstance(message, OrderFilled):
            self.children[message.data_id].append(event)
        elif isinstance(message, StrategyStarted):
            self.runs[message.run_id] = event
        elif isinstance(message, Workflow):
            self.workflows[message.workflow_id] = event

    def find(self, wanted: str) -> Event:
        """Return the message of an id, of `last`, or of the beginning of an id that only one message has.

        Raises MissingData that names what there is.
        """
        if wanted == LAST and self.fills:
            return self.fills[-1]
        alike = [name for name in self.events if name.startswith(wanted)] if len(wanted) >= SHORTEST else []
        if wanted in self.events or len(alike) == 1:
            return self.events[wanted if wanted in self.events else alike[0]]
        last = "; ".join(f"{message_id(event)} ({summary(event.message)})" for event in self.fills[-3:])
        near = f"ids that begin so: {', '.join(alike[:3])}; " if alike else ""
        there = f"the last fills are: {last}" if last else f"it has no fill among its {len(self.events)} messages"
        raise MissingData(f"the log has no single message {wanted!r}; {near}{there}")


def message_id(event: Event) -> str:
    """Return the id of a message."""
    return event.envelope.message_id


def ts_of(event: Event) -> int:
    """Return when it happened, ns UTC; when it was recorded, for what has no time of its own."""
    return int(getattr(event.message, "ts_event", event.envelope.ts_init))
