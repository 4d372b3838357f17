"""Traces: spans of what is handled, one trace from a command or a slice of data through every process.

The context of a span travels as W3C traceparent in the headers of the messages that the work led to. It is no part of a
message's value, key or id. Nothing here imports a tracing library: the program installs a tracer, or none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from schemas import SliceClosed
from streams.record import Event
from streams.slices import Phase, Work

if TYPE_CHECKING:
    from streams.outputs import Output

Attributes = Mapping[str, str | int]
REMEMBERED = 20_000
"""Contexts kept of messages that may cause others later, such as orders that wait for their fill."""
MAX_LINKS = 32
"""Other traces that one span points to."""


class Span(Protocol):
    """One piece of work in a trace."""

    traceparent: str
    """Its context, as W3C Trace Context writes it."""

    def end(self, error: str = "") -> None:
        """End it; an error marks it as failed."""
        ...


class Tracer(Protocol):
    """Makes spans."""

    def span(self, name: str, attributes: Attributes, parent: str | None = None, links: Sequence[str] = ()) -> Span:
        """Begin a span under a parent's context, or a new trace; links name contexts of other traces."""
        ...


@dataclass
class Tracing:
    """A tracer, and the contexts of messages that may still cause others."""

    tracer: Tracer
    _known: OrderedDict[str, str] = field(default_factory=OrderedDict)

    def remember(self, name: str, traceparent: str) -> None:
        """Keep the context of a message or of a whole chain; the oldest is forgotten beyond REMEMBERED."""
        self._known[name] = traceparent
        self._known.move_to_end(name)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def recall(self, *names: str) -> str | None:
        """Return the first context known of these names."""
        return next((self._known[name] for name in names if name in self._known), None)

    def point(self, name: str, attributes: Attributes, parent: str | None, links: Sequence[str] = ()) -> str:
        """Make a span of a single moment; return its context."""
        span = self.tracer.span(name, attributes, parent, links)
        span.end()
        return span.traceparent


_installed: list[Tracing] = []


def install(tracer: Tracer | None) -> None:
    """Trace this process from now on, or no longer."""
    _installed[:] = [Tracing(tracer)] if tracer else []


def installed() -> Tracing | None:
    """Return how this process traces; None where it does not."""
    return _installed[0] if _installed else None


def sent(name: str, attributes: Attributes) -> str | None:
    """Begin a trace with a message from outside, such as a command or a slice of data; return its context."""
    tracing = installed()
    return tracing.point(name, attributes, None) if tracing else None


def resumed(name: str, chain: str) -> str | None:
    """Go on with a chain that no message wakes, such as a workflow whose timer fired; return the context."""
    tracing = installed()
    parent = tracing.recall(chain) if tracing else None
    return tracing.point(name, {"messaging.message.conversation_id": chain}, parent) if tracing and parent else None


@contextmanager
def handling(pool: str, event: Event) -> Iterator[str | None]:
    """Span the handling of one record; give its context, or None where nothing is traced."""
    tracing = installed()
    if tracing is None:
        yield None
        return
    span = tracing.tracer.span(_named(pool, event), attributes_of(pool, event), event.envelope.traceparent)
    tracing.remember(event.envelope.correlation_id, span.traceparent)
    try:
        yield span.traceparent
    except BaseException as error:
        span.end(repr(error))
        raise
    span.end()


class TaskTrace:
    """The spans of one task: one for each phase of a slice, or for each record outside slices."""

    def __init__(self, tracing: Tracing, pool: str, task: str) -> None:
        self._tracing, self._pool, self._task = tracing, pool, task
        self._spans: dict[str, Span] = {}
        self._whole: Span | None = None

    def begin(self, work: Work) -> None:
        """Begin the spans of a piece of work."""
        self._spans, self._whole = {}, None
        if work.phase is None:
            for event in work.events:
                self._begin_record(event)
        else:
            self._begin_phase(work, work.phase)

    def _begin_record(self, event: Event) -> None:
        attributes = {**attributes_of(self._pool, event), "finagent.task": self._task}
        span = self._tracing.tracer.span(_named(self._pool, event), attributes, event.envelope.traceparent)
        self._spans[event.envelope.message_id] = span
        self._tracing.remember(event.envelope.correlation_id, span.traceparent)

    def _begin_phase(self, work: Work, phase: Phase) -> None:
        attributes: dict[str, str | int] = {
            "finagent.pool": self._pool,
            "finagent.task": self._task,
            "finagent.phase": phase.name,
            "finagent.slice": work.slice or 0,
            "messaging.batch.message_count": len(work.events),
        }
        parent = _parent(work, phase)
        others = list(dict.fromkeys(c for c in map(_context, work.events) if c and not _same(c, parent)))
        self._whole = self._tracing.tracer.span(f"{self._pool} {phase.name}", attributes, parent, others[:MAX_LINKS])
        for event in work.events:
            if event.envelope.traceparent and event.record.topic not in ("ticks", "bars"):
                self._tracing.remember(event.envelope.message_id, event.envelope.traceparent)

    def traceparent(self, output: Output) -> str | None:
        """Return the context that an output carries: that of its cause, where it lies in another trace."""
        here = self._whole or self._spans.get(output.cause)
        if here is None:  # of a timer, say: it goes on where its chain was last seen
            cause = self._tracing.recall(output.cause, output.correlation)
            return self._point(output, cause) if cause else None
        cause = self._tracing.recall(output.cause) if self._whole else None
        if cause is None or isinstance(output.message, SliceClosed) or _same(cause, here.traceparent):
            return here.traceparent
        return self._point(output, cause, here.traceparent)

    def _point(self, output: Output, parent: str, *links: str) -> str:
        name = f"{self._pool} {type(output.message).__name__}"
        attributes = {"finagent.pool": self._pool, "finagent.task": self._task, "finagent.causation_id": output.cause}
        return self._tracing.point(name, attributes, parent, links)

    def end(self, error: str = "") -> None:
        """End the spans; what they led to still gets their context."""
        for span in (*self._spans.values(), *([self._whole] if self._whole else [])):
            span.end(error)


def attributes_of(pool: str, event: Event) -> dict[str, str | int]:
    """Return what a span says of a record: OpenTelemetry's names where it has them."""
    envelope, record = event.envelope, event.record
    return {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
        "messaging.message.id": envelope.message_id,
        "messaging.message.conversation_id": envelope.correlation_id,
        "finagent.pool": pool,
        "finagent.type": envelope.type,
        "finagent.causation_id": envelope.causation_id,
    }


def _named(pool: str, event: Event) -> str:
    return f"{pool} {event.envelope.type}"


def _parent(work: Work, phase: Phase) -> str | None:
    """Return the context of whom this phase waited for last: who closed the slice on the last topic that it takes."""
    closings = [(each, each.message) for each in work.closings if isinstance(each.message, SliceClosed)]
    of_slice = {each.record.topic: _context(each) for each, closing in closings if closing.ts_event == work.slice}
    return next((found for name in reversed(phase.takes) if (found := of_slice.get(name))), None)


def _context(event: Event) -> str | None:
    return event.envelope.traceparent


def _same(one: str, other: str | None) -> bool:
    """Return whether two contexts are of one trace."""
    return other is not None and one.split("-")[1] == other.split("-")[1]
