"""The chain behind a message: its causes back to the market data, and the run and the command that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from orchestrator.decision_log import Log, message_id, ts_of
from orchestrator.summaries import summary
from schemas import OrderFilled, OrderProposed, StrategyStarted, Workflow
from streams.ids import slice_id
from streams.record import Event

_ROLES = {
    "OrderFilled": "fill",
    "SubmitOrder": "order",
    "OrderDenied": "denial",
    "OrderProposed": "proposal",
    "Signal": "signal",
    "StrategyStarted": "run",
    "Workflow": "workflow",
}


@dataclass(frozen=True)
class Link:
    """One message, or one market-data row, of a chain."""

    role: str
    """What it is to the chain."""
    says: str
    """Its content in one line."""
    message_id: str
    """Message id, or row id."""
    depth: int
    """Its place in the tree: links that follow with a greater depth led to it."""
    topic: str = ""
    """Empty where it was not found on the log."""
    partition: int = -1
    offset: int = -1
    ts: int = -1
    """When it happened; of a row that was not found, the slice in which it was cited. Ns UTC."""
    instrument_id: str = ""
    """SYMBOL.VENUE, where it is about one."""


Rows = Mapping[str, Link]
"""Market-data rows by row id."""


def chain(log: Log, wanted: str, rows: Rows | None = None) -> list[Link]:
    """Return a message and all that led to it, depth first.

    Of a proposal, the chain of what risk made of it; of a market-data row, what it led to. Rows that are not given
    stand in the chain without a topic. Raises MissingData for an id that the log does not have.
    """
    rows = rows or {}
    citing = log.children.get(wanted, [])
    if wanted not in log.events and citing:
        first = _row(wanted, "market data", 0, citing[0], rows)
        return [first, *(replace(_link(event, 1), role=f"led to {_role(event)}") for event in citing)]
    event = log.find(wanted)
    if isinstance(event.message, OrderProposed):
        event = next(
            (each for each in log.children[message_id(event)] if each.record.topic in ("risk", "orders")), event
        )
    causes = list(_causes(log, event))
    return [*_back(causes, rows), *_origin(log, event, {message_id(cause) for cause in causes})]


def _causes(log: Log, event: Event) -> Iterator[Event]:
    """Yield a message, its cause and so on; a run and a workflow are led back by their command instead."""
    seen: set[str] = set()
    following: Event | None = event
    while following is not None and message_id(following) not in seen:
        yield following
        seen.add(message_id(following))
        ends = isinstance(following.message, StrategyStarted | Workflow)
        following = None if ends else log.events.get(following.envelope.causation_id)


def _back(causes: list[Event], rows: Rows) -> Iterator[Link]:
    for depth, event in enumerate(causes):
        yield _link(event, depth)
        if depth == 0 and isinstance(event.message, OrderFilled):
            yield _row(event.message.data_id, "matched on", 1, event, rows)
    last = causes[-1]
    if last.envelope.slice is not None:
        role = "market data" if _role(last) == "signal" else "cause"
        yield _row(last.envelope.causation_id, role, len(causes), last, rows)


def _origin(log: Log, event: Event, known: set[str]) -> Iterator[Link]:
    message = event.message
    run = log.runs.get(getattr(message, "run_id", ""))
    workflow_id = getattr(run.message if run else message, "workflow_id", "")
    workflow = log.workflows.get(workflow_id)
    command = log.events.get(getattr(workflow.message, "command_id", "")) if workflow else None
    found = [each for each in (run, workflow, command) if each is not None and message_id(each) not in known]
    for depth, each in enumerate(found, start=1):
        yield _link(each, depth)


def _row(row_id: str, role: str, depth: int, citing: Event, rows: Rows) -> Link:
    if row_id in rows:
        return replace(rows[row_id], role=role, depth=depth)
    ts = citing.envelope.slice if citing.envelope.slice is not None else -1
    if row_id == slice_id(ts):
        return Link("slice", "all rows of the slice: decided when it closed", row_id, depth, ts=ts)
    name = getattr(citing.message, "instrument_id", "")
    return Link(role, "no longer on the log", row_id, depth, ts=ts, instrument_id=name)


def _link(event: Event, depth: int) -> Link:
    record, name = event.record, getattr(event.message, "instrument_id", "")
    place = (record.topic, record.partition, record.offset, ts_of(event))
    return Link(_role(event), summary(event.message), message_id(event), depth, *place, name)


def _role(event: Event) -> str:
    kind = type(event.message).__name__
    return "command" if event.record.topic == "commands" else _ROLES.get(kind, kind)
