"""What a handler may ask for besides its event: the run, the slice, the context; and what it may return."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas import (
    Bar,
    CorporateAction,
    Direction,
    KillSwitchSet,
    Message,
    PolicyInForce,
    Signal,
    StrategyStarted,
    TickBlock,
)
from streams.ids import row_id
from streams.record import Event, rfc3339
from streams.state import State

S = TypeVar("S", bound=State)
M = TypeVar("M", bound=Message)
TICK = "tick"


class States(Protocol):
    """States by class and key."""

    def get(self, kind: type[S], key: str) -> S:
        """Return a state, made from its defaults where there is none."""
        ...

    def keys(self, kind: type[State]) -> Iterable[str]:
        """Return the keys that have a state of this class, in order."""
        ...


@dataclass(frozen=True)
class Because:
    """A message whose direct parent is another one than the event at hand."""

    message: Message
    cause: str
    """Message id of the parent, or the row id of a market-data row."""


@dataclass(frozen=True)
class Prices:
    """The prices of one instrument in a slice."""

    values: NDArray[np.float64]
    """Closes or trade prices in time order, shape (n,)."""
    last: Bar | TickBlock
    """What the last row stands in."""

    @property
    def row_id(self) -> str:
        """Return the id of the last row."""
        return bar_id(self.last) if isinstance(self.last, Bar) else tick_id(self.last, len(self.last) - 1)


@dataclass(frozen=True)
class Slice:
    """All records of one phase of a slice, in their total order."""

    ts: int
    """The slice, ns UTC."""
    events: Sequence[Event]
    runs: Mapping[str, StrategyStarted]
    """The active runs whose accounts this task owns, by run_id."""
    switches: Sequence[KillSwitchSet] = ()
    """What operators say of kill switches, of any account."""
    policies: Sequence[PolicyInForce] = ()
    """The policies that decide in it."""

    def of(self, kind: type[M]) -> Iterator[tuple[str, M]]:
        """Yield the messages of a type with their ids."""
        for event in self.events:
            if isinstance(event.message, kind):
                yield event.envelope.message_id, event.message

    @cached_property
    def session_date(self) -> str:
        """Return the session of the slice's bars, ISO; the UTC date where it has none."""
        dates = [bar.session_date for _, bar in self.of(Bar)]
        return max(dates) if dates else rfc3339(self.ts)[:10]

    @cached_property
    def prices(self) -> dict[str, Prices]:
        """Return the prices by instrument: trades, and closes of bars, in time order."""
        rows: dict[str, list[NDArray[np.float64]]] = {}
        last: dict[str, Bar | TickBlock] = {}
        for event in self.events:
            message = event.message
            if isinstance(message, Bar | TickBlock):
                values = np.array([message.close]) if isinstance(message, Bar) else message.price
                rows.setdefault(message.instrument_id, []).append(values)
                last[message.instrument_id] = message
        return {name: Prices(_joined(values), last[name]) for name, values in sorted(rows.items())}


def _joined(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def bar_id(row: Bar | CorporateAction) -> str:
    """Return the row id of a bar or a corporate action, whose interval is its kind."""
    interval = row.interval if isinstance(row, Bar) else row.kind
    return row_id(row.source, row.instrument_id, interval, row.ts_event, row.sequence)


def tick_id(block: TickBlock, row: int) -> str:
    """Return the row id of a row of a block."""
    ts = block.base_ts + int(block.dt_ns[row])
    return row_id(block.source, block.instrument_id, TICK, ts, block.seq0 + row)


@dataclass(frozen=True)
class Run:
    """A running strategy as its alpha pool sees it."""

    started: StrategyStarted
    ts: int
    """The slice, ns UTC."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the strategy's parameters."""
        return self.started.parameters

    @property
    def instrument_ids(self) -> tuple[str, ...]:
        """Return what the run trades."""
        return tuple(instrument.instrument_id for instrument in self.started.instruments)

    def signal(
        self,
        instrument_id: str,
        signal: Direction,
        *,
        price: float,
        score: float,
        confidence: float,
        target_weight: float | None = None,
        model: str | None = None,
    ) -> Signal:
        """Return a signal of this run."""
        started = self.started
        return Signal(
            run_id=started.run_id,
            strategy_id=started.strategy_id,
            account_id=started.account_id,
            instrument_id=instrument_id,
            signal=signal,
            score=score,
            confidence=confidence,
            target_weight=target_weight,
            price=price,
            model=model or started.strategy_type,
            ts_event=self.ts,
        )


@dataclass(frozen=True)
class Context:
    """Where a handler stands."""

    pool: str
    partition: int
    ts: int
    """The slice, or outside slices the clock, ns UTC."""
    states: States
    runs: Mapping[str, StrategyStarted]
    """The active runs whose accounts this task owns, by run_id."""
    all_runs: Mapping[str, StrategyStarted]
    """Every run that was ever started, by run_id."""
    owns: Callable[[str], bool]
    """Tells whether a key belongs to this task."""
    event: Event | None = None
    """The event at hand; None at the close of a slice."""

    def state(self, kind: type[S], key: str) -> S:
        """Return the state of a key, made from its defaults where there is none."""
        return self.states.get(kind, key)

    def each(self, kind: type[S]) -> Iterator[S]:
        """Yield all states of a class in the order of their keys."""
        for key in list(self.states.keys(kind)):
            yield self.states.get(kind, key)
