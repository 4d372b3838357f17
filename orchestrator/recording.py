"""What a report shows of a run beyond its result: the account's course, and the decisions behind its last fills."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from agents.data.feed import Row
from agents.metrics.series import Int64, Levels
from orchestrator.chain import Link, chain
from orchestrator.decision_log import Log, message_id
from orchestrator.trace import row_ids, row_link
from schemas import (
    Bar,
    OrderDenied,
    OrderFilled,
    OrderProposed,
    OrderReport,
    PositionsUpdated,
    Signal,
    StrategyStarted,
    SubmitOrder,
    TickBlock,
)
from schemas.columns import Float64
from streams.record import Event

KEPT = 500
"""Fills, and denials, of which the chain is kept."""
_OVER = ("OrderCanceled", "OrderExpired", "OrderRejected")


@dataclass(frozen=True)
class Course:
    """An account after each slice: cash + the values of its positions = equity."""

    times: Int64
    """Slices, ns UTC, shape (n,)."""
    equity: Float64
    cash: Float64
    values: Mapping[str, Float64]
    """Signed value at mark of the position in each instrument that was ever held, shape (n,) each."""

    @property
    def levels(self) -> Levels:
        """Return equity at its times."""
        return Levels(self.times, self.equity)

    def weights(self) -> dict[str, Float64]:
        """Return each position's signed share of equity; NaN where equity is not positive."""
        worth = np.where(self.equity > 0, self.equity, np.nan)
        return {name: values / worth for name, values in self.values.items()}

    def gross(self) -> Float64:
        """Return the sum of |weights|."""
        return self._sum([np.abs(each) for each in self.weights().values()])

    def net(self) -> Float64:
        """Return the sum of weights."""
        return self._sum(list(self.weights().values()))

    def _sum(self, columns: Sequence[Float64]) -> Float64:
        return np.sum(columns, axis=0) if columns else np.zeros(len(self.equity))


@dataclass
class _Decision:
    """A message and the row that it goes back to; all that a chain needs."""

    events: list[Event] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


class Recording:
    """Listens to a replay. It grows by a few numbers a slice; of decisions it keeps those behind the last fills."""

    def __init__(self, run: StrategyStarted, kept: int = KEPT) -> None:
        self._run = run
        self._kept = kept
        self._multipliers = {each.instrument_id: each.multiplier for each in run.instruments}
        self._times, self._equity, self._cash = array("q"), array("d"), array("d")
        self._values: dict[str, array[float]] = {}
        self._rows: Sequence[Row] = ()
        self._fresh: dict[str, Event] = {}
        """Signals and proposals of the slice, by id: what risk decides on is of the same slice."""
        self._orders: OrderedDict[str, _Decision] = OrderedDict()
        """By order_id, the last filled one last."""
        self._filled: OrderedDict[str, int] = OrderedDict()
        """Fills kept by order_id."""
        self._count = 0
        self._denials: OrderedDict[str, _Decision] = OrderedDict()
        self.last_state: PositionsUpdated | None = None

    def rows(self, rows: Sequence[Row]) -> None:
        """Take the rows of the slice that comes next."""
        self._rows = rows
        self._fresh.clear()

    def event(self, event: Event) -> None:
        """Take a decision of the slice."""
        message = event.message
        if getattr(message, "account_id", "") != self._run.account_id:
            return
        if isinstance(message, PositionsUpdated):
            self._state(message)
        elif isinstance(message, Signal):
            self._fresh[event.envelope.message_id] = event
        elif isinstance(message, SubmitOrder):
            self._orders[message.order_id] = self._decided(event)
        elif isinstance(message, OrderDenied):
            self._denials[message.proposal_id] = self._decided(event)
            if len(self._denials) > self._kept:
                self._denials.popitem(last=False)
        elif isinstance(message, OrderProposed):
            self._fresh[event.envelope.message_id] = event
        elif isinstance(message, OrderReport):
            self._reported(event, message)

    def finished(self, state: PositionsUpdated) -> None:
        """Take the account after the last slice again, with what filled at its close."""
        at = self._times.pop()
        for column in (self._equity, self._cash, *self._values.values()):
            column.pop()
        self._state(state.model_copy(update={"ts_event": at}))

    def course(self) -> Course:
        """Return the account's course so far."""
        values = {name: np.array(column) for name, column in sorted(self._values.items())}
        return Course(np.array(self._times), np.array(self._equity), np.array(self._cash), values)

    def chains(self) -> dict[str, list[Link]]:
        """Return the chain of each fill and denial that is kept, by fill_id and proposal_id, as `trace` would tell it.

        A replay has no log, so that the links have no place on one.
        """
        decisions = [*self._orders.values(), *self._denials.values()]
        log = Log(event for each in decisions for event in each.events)
        wanted = [message_id(each) for each in log.fills] + list(self._denials)
        found = {name: chain(log, name) for name in wanted}
        cited = {link.message_id for links in found.values() for link in links if not link.topic}
        rows = _rows_cited([row for each in decisions for row in each.rows], cited)
        return {name: [replace(link, partition=-1, offset=-1) for link in chain(log, name, rows)] for name in wanted}

    def _state(self, state: PositionsUpdated) -> None:
        before = len(self._times)
        self._times.append(state.ts_event)
        self._equity.append(state.equity)
        self._cash.append(state.cash)
        for position in state.positions:
            column = self._values.get(position.instrument_id)
            if column is None:
                column = self._values[position.instrument_id] = array("d", bytes(8 * before))
            column.append(position.quantity * position.mark * self._multipliers[position.instrument_id])
        for column in self._values.values():
            if len(column) == before:
                column.append(0.0)
        self.last_state = state

    def _decided(self, event: Event) -> _Decision:
        """Gather the proposal and the signal behind what risk decided, and the rows that they were decided on."""
        decision, cause = _Decision([event]), event
        while (cause := self._fresh.get(cause.envelope.causation_id)) is not None:  # type: ignore[assignment]
            decision.events.append(cause)
        decision.rows += self._about(event)
        return decision

    def _reported(self, event: Event, report: OrderReport) -> None:
        decision = self._orders.get(report.order_id)
        if decision is None:
            return
        if isinstance(report, OrderFilled):
            decision.events.append(event)
            decision.rows += self._about(event)
            self._filled[report.order_id] = self._filled.pop(report.order_id, 0) + 1
            self._count += 1
            self._forget()
        elif type(report).__name__ in _OVER and report.order_id not in self._filled:
            del self._orders[report.order_id]

    def _forget(self) -> None:
        """Drop whole orders, the longest unfilled first, as long as enough fills remain."""
        while self._count - next(iter(self._filled.values())) >= self._kept:
            order_id, fills = self._filled.popitem(last=False)
            self._count -= fills
            del self._orders[order_id]

    def _about(self, event: Event) -> list[Row]:
        name = getattr(event.message, "instrument_id", "")
        return [row for row in self._rows if row.instrument_id == name]


def _rows_cited(rows: Sequence[Row], cited: set[str]) -> dict[str, Link]:
    data = {id(row): row for row in rows if isinstance(row, Bar | TickBlock)}
    return {
        name: row_link(name, block, at) for row in data.values() for name, block, at in row_ids(row) if name in cited
    }
