"""From events and slices to a pool's handlers, and from what they return to outputs; no I/O, no task.

The task loop and the one-process replay both decide through here: a backtest calls the very handlers that trade live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agents.context import Because, Context, Run, Slice, States, bar_id
from agents.handlers import Handler
from agents.pool import AgentPool
from schemas import Bar, BarBlock, Message, StrategyStarted
from streams.broker import partition_of
from streams.errors import HandlerError
from streams.ids import slice_id
from streams.in_hand import IN_HAND
from streams.outputs import Output
from streams.record import Event
from streams.slices import Work
from streams.topics import TOPICS, topic_of

_OWN_IDS = {"OrderProposed": "proposal_id", "SubmitOrder": "order_id", "OrderFilled": "fill_id"}
"""Messages whose id is a field, since others refer to it."""
_MONEY = "fills"
"""Critical topic that a failure at the close of a slice is blamed on, where skipping it would corrupt money."""
_ONE_DECISION = "bars"
"""Topic that an alpha handler's failure is blamed on: its run loses one decision."""


@dataclass
class Dispatch:
    """A pool's handlers over the states of one task."""

    pool: AgentPool
    partition: int
    partitions: Mapping[str, int]
    """Partition count of each key family."""
    states: States
    poisoned: Mapping[tuple[object, ...], str]
    """Work that is not to be tried again, with the reason."""
    set_aside: Callable[[Work, str], None]
    """Told of a slice that a handler is not called for, with the reason."""
    runs: dict[str, StrategyStarted] = field(default_factory=dict)
    """Every run that was ever started, by run_id."""
    _by_type: dict[type[Message], tuple[Handler, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._family = owner_of(self.pool)
        self._traded: dict[str, frozenset[str]] = {}
        self._mine: tuple[tuple[str, ...], int, dict[str, StrategyStarted]] = ((), -1, {})
        last = self.pool.place.phases[-1].name if self.pool.place else None
        self._closers: dict[str | None, list[Handler]] = {}
        for handler in self.pool.handlers:
            if not handler.types:
                self._closers.setdefault(handler.phase or last, []).append(handler)

    def slice(self, work: Work) -> list[Output]:
        """Handle a phase of a slice: each event, then the phase's close."""
        assert work.slice is not None
        assert work.phase is not None
        # A slice without rows gives an alpha nothing to decide on.
        if not work.events and (work.phase.name not in self._closers or self.pool.role == "alpha"):
            return []
        context = self._context(work.slice, work.runs)
        outputs = [output for event in work.events for output in self._handled(event, context)]
        outputs += self._closed(work, context)
        return outputs

    def arrived(self, event: Event, now: int) -> list[Output]:
        """Handle an event outside slices; now in ns UTC."""
        return list(self._handled(event, self._context(now, ())))

    def _owns(self, key: str) -> bool:
        return partition_of(key, self.partitions[self._family]) == self.partition

    def _context(self, ts: int, runs: tuple[str, ...]) -> Context:
        return Context(self.pool.name, self.partition, ts, self.states, self._owned(runs), self.runs, self._owns)

    def _owned(self, runs: tuple[str, ...]) -> dict[str, StrategyStarted]:
        """Return the active runs whose accounts this task owns; they are the same for many slices."""
        known, count, mine = self._mine
        if runs != known or count != len(self.runs):
            active = {run: self.runs[run] for run in sorted(runs) if run in self.runs}
            mine = {run: started for run, started in active.items() if self._owns(started.account_id)}
            self._mine = (runs, len(self.runs), mine)
        return mine

    def _handlers(self, kind: type[Message]) -> tuple[Handler, ...]:
        found = self._by_type.get(kind)
        if found is None:
            found = self._by_type[kind] = tuple(self.pool.handlers_of(kind))
        return found

    def _handled(self, event: Event, context: Context) -> Iterator[Output]:
        IN_HAND.set(event)
        for row in _rows(event):
            for handler in self._handlers(type(row.message)):
                yield from self._call_for_event(handler, row, context)

    def _call_for_event(self, handler: Handler, event: Event, context: Context) -> Iterator[Output]:
        record, message = event.record, event.message
        place = replace(context, event=event) if handler.wants_context else context
        for key, arguments in self._bindings(handler, place, record.key, message):
            try:
                results = _results(handler.function(message, *arguments), self.pool)
            except Exception as error:
                poison = ("record", record.topic, record.partition, record.offset)
                raise _failure(handler, error, record.topic, poison, f"{record.place} key {key}") from error
            if results:
                cause = bar_id(message) if isinstance(message, Bar) else event.envelope.message_id
                yield from (_output(result, cause, event.envelope.correlation_id) for result in results)

    def _closed(self, work: Work, context: Context) -> Iterator[Output]:
        assert work.phase is not None
        assert work.slice is not None
        IN_HAND.set(work)
        slice_ = Slice(work.slice, work.events, context.runs, work.switches, work.policies)
        for handler in self._closers.get(work.phase.name, ()):
            yield from self._call_for_slice(handler, slice_, context, work)

    def _call_for_slice(self, handler: Handler, slice_: Slice, context: Context, work: Work) -> Iterator[Output]:
        for key, arguments in self._bindings(handler, context, None, None):
            poison = ("slice", slice_.ts, handler.function.__name__, key)
            if poison in self.poisoned:
                self.set_aside(work, self.poisoned[poison])
                continue
            try:
                results = _results(handler.function(slice_, *arguments), self.pool)
            except Exception as error:
                blamed = _ONE_DECISION if self.pool.role == "alpha" else _MONEY
                raise _failure(handler, error, blamed, poison, f"slice {slice_.ts} key {key}") from error
            if results:
                cause = slice_id(slice_.ts)
                yield from (_output(result, cause, str(slice_.ts)) for result in results)

    def _bindings(
        self, handler: Handler, context: Context, key: str | None, message: Message | None
    ) -> Iterator[tuple[str, list[Any]]]:
        """Yield, per call, the key of its state and the arguments after the first."""
        if handler.per_run:
            traded = getattr(message, "instrument_id", None)
            for run_id, started in context.runs.items():
                if started.alpha_pool == self.pool.name and (traded is None or traded in self._trades(started)):
                    yield run_id, _arguments(handler, context, run_id, Run(started, context.ts))
        elif handler.state is None or key is not None:
            yield key or "", _arguments(handler, context, key or "", None)
        else:
            for state_key in list(context.states.keys(handler.state)):
                yield state_key, _arguments(handler, context, state_key, None)

    def _trades(self, started: StrategyStarted) -> frozenset[str]:
        found = self._traded.get(started.run_id)
        if found is None:
            found = frozenset(instrument.instrument_id for instrument in started.instruments)
            self._traded[started.run_id] = found
        return found


def owner_of(pool: AgentPool) -> str:
    """Return the key family whose partitions are the pool's tasks."""
    if pool.place is not None:
        return pool.place.owner
    families = {topic.family for topic in pool.topics()}
    return next((family for family in ("account", "workflow", "instrument") if family in families), "single")


def topics_of(pool: AgentPool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the topics of which a task of the pool reads its own partition, and those that it reads whole."""
    role = pool.place
    names = {name for phase in role.phases for name in phase.takes} if role else {t.name for t in pool.topics()}
    whole = {name for name in names if TOPICS[name].family != owner_of(pool)}
    return tuple(sorted(names - whole)), tuple(sorted(whole | set(role.tables if role else ())))


def _rows(event: Event) -> Iterable[Event]:
    """Return a block of bars row by row: the unit of order is the row."""
    if isinstance(event.message, BarBlock):
        return [Event(bar, event.envelope, event.record) for bar in event.message.bars()]
    return (event,)


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


def _failure(handler: Handler, error: Exception, blamed: str, poison: tuple[object, ...], where: str) -> HandlerError:
    reason = f"{handler.function.__name__} raised {type(error).__name__}: {error} ({where})"
    return HandlerError(reason, topic=blamed, poison=poison)


def _results(result: Any, pool: AgentPool) -> Sequence[Any]:
    """Return what a handler returned or yielded; raise TypeError where it is no message that the pool may publish."""
    if result is None:
        return ()
    results = [result] if isinstance(result, Message | Because) else list(result)
    for each in results:
        message = each.message if isinstance(each, Because) else each
        if not isinstance(message, Message):
            raise TypeError(f"{message!r} is no message")
        home = topic_of(type(message))
        if home.writer not in (None, pool.role):
            raise TypeError(f"{type(message).__name__} stands on {home.name}, which pools of role {home.writer} write")
    return results


def _output(result: Message | Because, cause: str, correlation: str) -> Output:
    message, parent = (result.message, result.cause) if isinstance(result, Because) else (result, cause)
    own_id = _OWN_IDS.get(type(message).__name__)
    correlated = getattr(message, "run_id", None) or getattr(message, "account_id", None) or correlation
    return Output(message, parent, correlated, message_id=getattr(message, own_id) if own_id else None)
