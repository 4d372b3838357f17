"""Pools under the task loop: events and slices to handlers, what handlers return to outputs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from agents.context import Because, Context, Run, Slice, bar_id
from agents.handlers import Handler
from agents.pool import AgentPool
from schemas import Bar, BarBlock, Message, SliceClosed, StrategyStarted
from streams.broker import partition_of
from streams.errors import HandlerError
from streams.ids import derive_id, slice_id
from streams.record import Event, Received
from streams.slices import Phase, Role, SliceInbox, Work
from streams.state import State
from streams.task import CRITICAL_TOPICS, Inbox, Output, Outputs, Task
from streams.topics import TOPICS, topic, topic_of

_OWN_IDS = {"OrderProposed": "proposal_id", "SubmitOrder": "order_id", "OrderFilled": "fill_id"}
"""Messages whose id is a field, since others refer to it."""
_SKIPPABLE = "bars"
"""Topic that an alpha handler's failure at the close of a slice is blamed on: the run loses one decision, not money."""


class StartedRun(State):
    """A run that this task knows of."""

    started: StrategyStarted | None = None


class ArrivalInbox:
    """Hand over records as they come."""

    def __init__(self, *, singly: bool = False) -> None:
        self._events: deque[Event] = deque()
        self._singly = singly

    def offer(self, event: Event) -> None:
        """Take one record in."""
        self._events.append(event)

    def next(self) -> Work | None:
        """Return one record, or all that have come."""
        if not self._events:
            return None
        if self._singly:
            return Work(None, None, [self._events.popleft()])
        events, self._events = list(self._events), deque()
        return Work(None, None, events)


class PoolProcessor:
    """A pool's event handlers, for one task."""

    def __init__(self, pool: AgentPool) -> None:
        self._pool = pool
        self.pool = pool.name
        self._runs: dict[str, StrategyStarted] = {}
        role = pool.place
        names = {name for phase in role.phases for name in phase.takes} if role else {t.name for t in pool.topics()}
        family = owner_of(pool)
        every = {name for name in names if TOPICS[name].family != family}
        self.owned = tuple(sorted(names - every))
        self.broadcast = tuple(sorted(every | set(role.tables if role else ())))

    def inbox(self, task: Task) -> Inbox:
        """Make the inbox from the restored state."""
        self._runs = {}
        for key in task.states.keys(StartedRun):
            self._learn(task.states.get(StartedRun, key).started)
        role = self._pool.place
        if role is None:
            return ArrivalInbox()
        self._inbox = SliceInbox(role, task.partition, task.partitions, self._runs, task.meta.frontier)
        return self._inbox

    def _learn(self, started: StrategyStarted | None) -> None:
        if started is not None:
            self._runs[started.run_id] = started

    def due(self, task: Task) -> Sequence[Output]:
        """Return nothing: slices are the data plane's only clock."""
        return ()

    async def process(self, work: Work, task: Task) -> Outputs:
        """Handle a phase of a slice, or records outside slices."""
        role = self._pool.place
        if role is None or work.phase is None:
            return Outputs([output for event in work.events for output in self._arrived(event, task)])
        task.meta.frontier = self._inbox.frontier
        assert work.slice is not None
        context = self._context(task, work.slice, work.runs)
        outputs = [output for event in work.events for output in self._handled(event, context)]
        outputs += self._closed(work, context, task)
        return Outputs([*outputs, *_closings(work, role, work.phase, task)])

    def _arrived(self, event: Event, task: Task) -> Iterator[Output]:
        if isinstance(event.message, StrategyStarted) and self._pool.place:
            task.states.get(StartedRun, event.message.run_id).started = event.message
            self._learn(event.message)
        elif not self._pool.place:
            yield from self._handled(event, self._context(task, task.clock.now(), ()))

    def _context(self, task: Task, ts: int, runs: Sequence[str]) -> Context:
        family = owner_of(self._pool)

        def owns(key: str) -> bool:
            return partition_of(key, task.partitions[family]) == task.partition

        active = {run: self._runs[run] for run in sorted(runs) if run in self._runs}
        mine = {run: started for run, started in active.items() if owns(started.account_id)}
        return Context(self.pool, task.partition, ts, task.states, mine, self._runs, owns)

    def _handled(self, event: Event, context: Context) -> Iterator[Output]:
        for row in _rows(event):
            for handler in self._pool.handlers_of(type(row.message)):
                yield from self._call_for_event(handler, row, context)

    def _call_for_event(self, handler: Handler, event: Event, context: Context) -> Iterator[Output]:
        record = event.record
        poison = ("record", record.topic, record.partition, record.offset)
        place = _with_event(context, event)
        cause = bar_id(event.message) if isinstance(event.message, Bar) else event.envelope.message_id
        correlation = event.envelope.correlation_id
        for key, arguments in self._bindings(handler, place, event.record.key, event.message):
            call = _guarded(handler, (event.message, *arguments), record.topic, poison, f"{record.place} key {key}")
            yield from (_output(result, cause, correlation) for result in call())

    def _closed(self, work: Work, context: Context, task: Task) -> Iterator[Output]:
        assert work.phase is not None
        assert work.slice is not None
        last = self._pool.place.phases[-1].name if self._pool.place else None
        slice_ = Slice(work.slice, work.events, context.runs)
        for handler in self._pool.handlers:
            if not handler.types and (handler.phase or last) == work.phase.name:
                yield from self._call_for_slice(handler, slice_, context, work, task)

    def _call_for_slice(
        self, handler: Handler, slice_: Slice, context: Context, work: Work, task: Task
    ) -> Iterator[Output]:
        blamed = _SKIPPABLE if self._pool.role == "alpha" else next(iter(CRITICAL_TOPICS))
        for key, arguments in self._bindings(handler, context, None, None):
            poison = ("slice", slice_.ts, handler.function.__name__, key)
            if poison in task.poisoned:
                task.dead_letter(_data_closing(work), task.poisoned[poison])
                continue
            call = _guarded(handler, (slice_, *arguments), blamed, poison, f"slice {slice_.ts} key {key}")
            yield from (_output(result, slice_id(slice_.ts), str(slice_.ts)) for result in call())

    def _bindings(
        self, handler: Handler, context: Context, key: str | None, message: Message | None
    ) -> Iterator[tuple[str, list[Any]]]:
        """Yield, per call, the key of its state and the arguments after the first."""
        if handler.per_run:
            for run_id, started in context.runs.items():
                mine = getattr(message, "instrument_id", None)
                traded = {instrument.instrument_id for instrument in started.instruments}
                if started.alpha_pool == self.pool and (mine is None or mine in traded):
                    yield run_id, _arguments(handler, context, run_id, Run(started, context.ts))
        elif handler.state is None or key is not None:
            yield key or "", _arguments(handler, context, key or "", None)
        else:
            for state_key in list(context.states.keys(handler.state)):
                yield state_key, _arguments(handler, context, state_key, None)


def _data_closing(work: Work) -> Received:
    """Return the closing that stands for the slice in a dead letter: one of a partition that had rows."""
    closings = [(event.record, event.message) for event in work.closings if isinstance(event.message, SliceClosed)]
    return next((record for record, closing in closings if closing.rows), closings[0][0])


def owner_of(pool: AgentPool) -> str:
    """Return the key family whose partitions are the pool's tasks."""
    if pool.place is not None:
        return pool.place.owner
    families = {topic.family for topic in pool.topics()}
    return next((family for family in ("account", "workflow", "instrument") if family in families), "single")


def _arguments(handler: Handler, context: Context, key: str, run: Run | None) -> list[Any]:
    values: list[Any] = []
    for _, want in handler.wants:
        if want is Run:
            values.append(run)
        elif want is Context:
            values.append(context)
        else:
            values.append(context.states.get(want, key))
    return values


def _with_event(context: Context, event: Event) -> Context:
    return Context(**{**context.__dict__, "event": event})


def _rows(event: Event) -> Iterable[Event]:
    """Return a block of bars row by row: the unit of order is the row."""
    if isinstance(event.message, BarBlock):
        return [Event(bar, event.envelope, event.record) for bar in event.message.bars()]
    return (event,)


def _guarded(
    handler: Handler, arguments: tuple[Any, ...], blamed: str, poison: tuple[object, ...], where: str
) -> Callable[[], list[Any]]:
    def call() -> list[Any]:
        try:
            result = handler.function(*arguments)
            return _results(result)
        except Exception as error:
            name = handler.function.__name__
            reason = f"{name} raised {type(error).__name__}: {error} ({where})"
            raise HandlerError(reason, topic=blamed, poison=poison) from error

    return call


def _results(result: Any) -> list[Any]:
    """Return what a handler returned or yielded; raise TypeError where it is no message that a topic carries."""
    if result is None:
        return []
    results = [result] if isinstance(result, Message | Because) else list(result)
    for each in results:
        message = each.message if isinstance(each, Because) else each
        if not isinstance(message, Message):
            raise TypeError(f"{message!r} is no message")
        topic_of(type(message))
    return results


def _output(result: Message | Because, cause: str, correlation: str) -> Output:
    message, parent = (result.message, result.cause) if isinstance(result, Because) else (result, cause)
    own_id = _OWN_IDS.get(type(message).__name__)
    correlated = getattr(message, "run_id", None) or getattr(message, "account_id", None) or correlation
    return Output(message, parent, correlated, message_id=getattr(message, own_id) if own_id else None)


def _closings(work: Work, role: Role, phase: Phase, task: Task) -> Iterator[Output]:
    if phase.announces is None or work.slice is None:
        return
    family = topic(phase.announces).family
    partitions: Mapping[str, int] = task.partitions
    targets = [task.partition] if family == role.owner else range(partitions[family])
    source = task.processor.pool
    closing = SliceClosed(ts_event=work.slice, source=source, partition=task.partition, stage=phase.name)
    cause = slice_id(work.slice)
    for target in targets:
        name = derive_id(cause, source, task.partition, phase.name, target)
        yield Output(closing, cause, str(work.slice), phase.announces, str(target), target, name)
