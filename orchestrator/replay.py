"""The one-process replay: slices through the very handlers that trade live, without broker, serde or changelog.

Phases run in the order that the slice protocol (streams.slices) enforces between processes, over the same records in
the same total order; message ids come out the same, and so do decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from agents.context import tick_id
from agents.data.adjustments import check_times, learn
from agents.data.feed import Row
from agents.dispatch import Dispatch
from agents.pool import AgentPool
from schemas import (
    KillSwitchSet,
    Message,
    OrderFilled,
    PolicyInForce,
    PolicyPublished,
    PositionsUpdated,
    StrategyStarted,
    TickBlock,
)
from streams.errors import ConfigError, InvalidData
from streams.outputs import Output, addressed
from streams.record import Envelope, Event, Received
from streams.slices import FEED, ROLES, Work, total_order
from streams.state import State
from streams.topics import POLICIES

S = TypeVar("S", bound=State)
Sink = Callable[[str, Event], None]
"""Told of each decision: its topic and the event."""
_PHASES = {(name, phase.name): phase for name, role in ROLES.items() for phase in role.phases}
_ONE_PARTITION = {"account": 1, "instrument": 1, "workflow": 1, "single": 1}


class PlainStates:
    """States in memory alone."""

    def __init__(self) -> None:
        self._states: dict[type[State], dict[str, State]] = {}

    def get(self, kind: type[S], key: str) -> S:
        """Return a state, made from its defaults where there is none."""
        states = self._states.get(kind)
        if states is None:
            states = self._states[kind] = {}
        state = states.get(key)
        if state is None:
            state = states[key] = kind()
        assert isinstance(state, kind)
        return state

    def keys(self, kind: type[State]) -> Iterable[str]:
        """Return the keys that have a state of this class, in order."""
        return sorted(self._states.get(kind, ()))


class Replay:
    """Pools and runs, slice after slice; memory does not grow with the number of slices.

    policies are all that may decide; the newest version of each does where a slice does not say otherwise.
    """

    def __init__(
        self,
        pools: Sequence[AgentPool],
        runs: Sequence[StrategyStarted],
        sink: Sink,
        policies: Sequence[PolicyPublished] = (),
    ) -> None:
        self._dispatches = {pool.name: _dispatch(pool) for pool in pools if pool.place}
        self._alphas = sorted({run.alpha_pool for run in runs})
        missing = {"portfolio", "risk", "execution", *self._alphas} - set(self._dispatches)
        if missing:
            raise ConfigError(f"a replay needs the pools {', '.join(sorted(missing))}")
        self._runs = tuple(sorted(run.run_id for run in runs))
        for dispatch in self._dispatches.values():
            dispatch.runs.update({run.run_id: run for run in runs})
        self._sink = sink
        self._number = 0
        self._last = self._last_data = -1
        self._active = self._runs
        self._switches: tuple[KillSwitchSet, ...] = ()
        self._newest = tuple(self._published(policies))
        self._policies = self._newest
        self._accepted: list[Event] = []
        self._adjustments: dict[str, str] = {}

    def _published(self, policies: Sequence[PolicyPublished]) -> Iterable[PolicyInForce]:
        """Hand policies to the pools that take them; return the newest version of each."""
        newest = {policy.policy_id: policy for policy in sorted(policies, key=lambda each: each.version)}
        for policy in sorted(policies, key=lambda each: (each.policy_id, each.version)):
            envelope = Envelope(policy.sha256, "PolicyPublished", "replay", policy.ts_event, "", policy.sha256)
            event = self._placed(policy, POLICIES.name, policy.policy_id, envelope)
            for dispatch in self._dispatches.values():
                dispatch.arrived(event, policy.ts_event)
        return [newest[name].in_force() for name in sorted(newest)]

    def slice(
        self,
        rows: Sequence[Row],
        switches: Sequence[KillSwitchSet] = (),
        *,
        ts: int | None = None,
        active: Sequence[str] | None = None,
        policies: Sequence[PolicyInForce] | None = None,
    ) -> int:
        """Work one slice to its end; return its time. Raises InvalidData where time goes backwards.

        A recorded slice is worked as its closing says: switches, its time, the runs that were active in it and the
        policies that decided. Else the time is that of the last row, which a slice then needs, every run is active,
        and of each policy the newest version decides.
        """
        ts = max(row.ts_event for row in rows) if ts is None else ts
        if ts <= self._last:
            raise InvalidData(f"time goes backwards: slice {ts} after {self._last}")
        check_times(ts, self._last_data, rows)
        self._adjustments = learn(self._adjustments, rows)
        self._last, self._last_data = ts, ts if rows else self._last_data
        self._switches = tuple(switches)
        self._active = self._runs if active is None else tuple(active)
        self._policies = self._newest if policies is None else tuple(policies)
        data = _ordered([self._event(row, ts) for row in rows])
        fills = self._run("execution", "match", ts, data)
        # The venue took the last slice's orders in after the ledger had closed it: those reports come first now.
        reports, self._accepted = [*self._accepted, *fills], []
        marks = _ordered([*data, *reports]) if reports else data
        self._run("portfolio", "mark", ts, marks)
        cancels = self._run("risk", "mark", ts, marks)
        signals = [signal for name in self._alphas for signal in self._run(name, "decide", ts, data)]
        targets = self._run("portfolio", "construct", ts, _ordered(signals))
        orders = self._run("risk", "control", ts, _ordered(targets))
        self._accepted = self._run("execution", "accept", ts, _ordered([*cancels, *orders]))
        return ts

    def finish(self) -> list[PositionsUpdated]:
        """Return every account once more where fills were reported after the last slice was booked, as in same_close.

        They are what the ledger would tell of a slice without rows; no decision follows, and the sink is told nothing.
        """
        if not any(isinstance(event.message, OrderFilled) for event in self._accepted):
            return []
        outputs = self._worked("portfolio", "mark", self._last + 1, _ordered(self._accepted))
        return [output.message for output in outputs if isinstance(output.message, PositionsUpdated)]

    def _run(self, pool: str, phase: str, ts: int, events: Sequence[Event]) -> list[Event]:
        """Run a phase and return what other pools take of its outputs."""
        outputs = self._worked(pool, phase, ts, events)
        if not outputs:
            return []
        counts: dict[tuple[str, ...], int] = {}
        made = [self._made(output, pool, ts, counts) for output in outputs]
        for event in made:
            self._sink(event.record.topic, event)
        return [event for event in made if event.record.topic in ("fills", "signals", "targets", "orders")]

    def _worked(self, pool: str, phase: str, ts: int, events: Sequence[Event]) -> list[Output]:
        dispatch = self._dispatches[pool]
        place = _PHASES[str(dispatch.pool.role), phase]
        work = Work(place, ts, events, self._active, switches=self._switches, policies=self._policies)
        return dispatch.slice(work)

    def _event(self, row: Row, ts: int) -> Event:
        if isinstance(row, TickBlock):
            name, message_id = "ticks", tick_id(row, 0)
        else:
            # A bar's id is worked out where it becomes a cause.
            name, message_id = "bars", ""
        envelope = Envelope(message_id, type(row).__name__, FEED, ts, str(ts), message_id, ts)
        return self._placed(row, name, row.instrument_id, envelope)

    def _made(self, output: Output, pool: str, ts: int, counts: dict[tuple[str, ...], int]) -> Event:
        name, key, message_id = addressed(output, pool, counts)
        kind = type(output.message).__name__
        envelope = Envelope(message_id, kind, pool, ts, output.correlation, output.cause, ts)
        return self._placed(output.message, name, key, envelope)

    def _placed(self, message: Message, name: str, key: str, envelope: Envelope) -> Event:
        # The number stands for the offset: it keeps the order in which one source said things.
        self._number += 1
        return Event(message, envelope, Received(name, 0, self._number, key, None, (), 0))


def _dispatch(pool: AgentPool) -> Dispatch:
    def refuse(work: Work, reason: str) -> None:
        raise ConfigError(reason)

    return Dispatch(pool, 0, _ONE_PARTITION, PlainStates(), {}, refuse)


def _ordered(events: list[Event]) -> list[Event]:
    return sorted(events, key=total_order) if len(events) > 1 else events
