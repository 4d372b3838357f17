"""Backtests: a strategy over historical slices by the one-process replay, with a manifest that says what ran."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np

from agents.data.feed import Row
from agents.execution.venue import FillAt
from agents.metrics import performance_metrics
from agents.pool import AgentPool
from orchestrator.market_log import RecordedSlice
from orchestrator.replay import Replay, Sink
from orchestrator.settings import Settings
from orchestrator.strategy import TradingStrategy, model_parameters, strategy_type_of
from schemas import (
    Bar,
    Instrument,
    KillSwitchChanged,
    OrderDenied,
    OrderFilled,
    PolicyPublished,
    PositionsUpdated,
    RiskLimits,
    Signal,
    StrategyStarted,
    SubmitOrder,
    TickBlock,
    canonical_json,
)
from streams.errors import ConfigError, MissingData
from streams.record import Event

Slices = AsyncIterator[Sequence[Row]]


async def following(slices: Iterable[Sequence[Row]]) -> Slices:
    """Yield slices that are at hand."""
    for rows in slices:
        yield rows


@dataclass(frozen=True)
class BacktestPlan:
    """What a backtest runs."""

    strategy: TradingStrategy
    instruments: tuple[Instrument, ...]
    settings: Settings
    source: str
    """Where the data comes from, for people."""
    initial_cash: float
    fill: FillAt = "next_open"
    alpha_pool: str = "alpha"
    policies: tuple[PolicyPublished, ...] = ()
    """What a strategy of the RL pool decides by."""

    def run(self) -> StrategyStarted:
        """Return the run; its id derives from all that decides its outcome, the data excepted."""
        own = self.strategy.parameters
        spec = self.strategy.to_spec()
        currencies = sorted({instrument.currency for instrument in self.instruments})
        if len(currencies) != 1:
            raise ConfigError(f"an account holds one currency, got {', '.join(currencies) or 'none'}")
        if self.initial_cash <= 0:
            raise ConfigError(f"initial capital must be positive, got {self.initial_cash}")
        name = f"bt-{self.config_hash()[:16]}"
        limits = RiskLimits.model_validate(self.settings.risk.limits.model_dump() | own.get("limits", {}))
        return StrategyStarted(
            run_id=name,
            strategy_id=spec.strategy_id,
            account_id=f"acct-{name}",
            workflow_id=name,
            alpha_pool=self.alpha_pool,
            strategy_type=strategy_type_of(own),
            lookback_period=spec.lookback_period,
            rebalance_frequency=spec.rebalance_frequency,
            parameters=model_parameters(own),
            instruments=self.instruments,
            currency=currencies[0],
            initial_cash=self.initial_cash,
            limits=limits,
            ts_event=0,
        )

    def config(self) -> dict[str, Any]:
        """Return all that decides the outcome besides the data."""
        return {
            "strategy": self.strategy.to_spec().model_dump(mode="json"),
            "alpha_pool": self.alpha_pool,
            "instruments": [instrument.model_dump() for instrument in self.instruments],
            "initial_cash": self.initial_cash,
            "fill": self.fill,
            "costs": self.settings.cost_model().model_dump(),
            "risk": self.settings.risk.model_dump(mode="json"),
            "financing": self.settings.financing.model_dump(),
            **({"policies": [policy.in_force().model_dump() for policy in self.policies]} if self.policies else {}),
        }

    def config_hash(self) -> str:
        """Return the SHA-256 of the configuration."""
        return hashlib.sha256(canonical_json(self.config()).encode()).hexdigest()


@dataclass
class Backtest:
    """What a backtest led to."""

    plan: BacktestPlan
    run: StrategyStarted
    slices: int = 0
    rows: int = 0
    times: array[int] = field(default_factory=lambda: array("q"), repr=False)
    """Slices with a ledger, ns UTC; 16 bytes a slice with the equity is all that grows with the data."""
    equity: array[float] = field(default_factory=lambda: array("d"), repr=False)
    """Equity after each of them, in the currency."""
    orders: list[SubmitOrder] = field(default_factory=list, repr=False)
    fills: list[OrderFilled] = field(default_factory=list, repr=False)
    denials: list[OrderDenied] = field(default_factory=list, repr=False)
    trips: int = 0
    """How often the kill switch was tripped."""
    signals: int = 0
    data_hash: str = ""
    origins: set[str] = field(default_factory=set)
    """real, synthetic: what the rows themselves say."""

    @property
    def final_equity(self) -> float:
        """Return equity after the last slice."""
        return self.equity[-1]

    def metrics(self) -> dict[str, Any]:
        """Return the performance figures, the start capital included as the first value."""
        values = np.array([self.run.initial_cash, *self.equity])
        return performance_metrics(values, [self.times[0] - 1, *self.times], self.fills)

    def manifest(self) -> dict[str, Any]:
        """Return what ran: hashes, versions, source, fill rule."""
        return {
            "run_id": self.run.run_id,
            "config": self.plan.config(),
            "config_sha256": self.plan.config_hash(),
            "data_sha256": self.data_hash,
            "source": self.plan.source,
            "data": " and ".join(sorted(self.origins)),
            "fill": self.plan.fill,
            "slices": self.slices,
            "rows": self.rows,
            "seed": None,
            "versions": {name: version(name) for name in ("finagent-orchestration", "numpy", "pydantic")},
        }

    def result(self) -> dict[str, Any]:
        """Return the documented result keys."""
        return {
            "status": "completed",
            "run_id": self.run.run_id,
            "final_equity": self.final_equity,
            "performance_metrics": self.metrics(),
            "signals": self.signals,
            "orders": len(self.orders),
            "fills": len(self.fills),
            "denials": len(self.denials),
            "manifest": self.manifest(),
        }


class Listener(Protocol):
    """Told of what a backtest does not keep by itself."""

    def rows(self, rows: Sequence[Row]) -> None:
        """Take the rows of the slice that comes next."""

    def event(self, event: Event) -> None:
        """Take a decision."""

    def finished(self, state: PositionsUpdated) -> None:
        """Take the account after the last slice again, with what filled at its close."""


async def run_backtest(
    plan: BacktestPlan, slices: Slices, pools: Sequence[AgentPool], listener: Listener | None = None
) -> Backtest:
    """Replay the slices through the pools. Raises MissingData where there are none."""
    backtest = Backtest(plan, plan.run())
    digest = hashlib.sha256()
    replay = Replay(pools, [backtest.run], _sink(backtest, listener), plan.policies)
    async for rows in slices:
        if listener:
            listener.rows(rows)
        count(backtest, digest, rows)
        if isinstance(rows, RecordedSlice):
            _recorded(replay, backtest.run, rows, digest)
        else:
            replay.slice(rows)
    if not backtest.slices:
        raise MissingData("the source has no data in the range")
    for state in replay.finish():
        # What filled at the last close belongs to the last slice: it changes its equity, and adds no point of time.
        backtest.equity[-1] = state.equity
        if listener:
            listener.finished(state)
    backtest.data_hash = digest.hexdigest()
    return backtest


def _recorded(replay: Replay, run: StrategyStarted, rows: RecordedSlice, digest: Any) -> None:
    """Replay a slice with the recorded halts, which the run's account obeys as its own."""
    for word in rows.switches:
        digest.update(f"{rows.ts}|{word.command_id}|{word.active}".encode())
    words = [word.model_copy(update={"account_id": run.account_id}) for word in rows.switches]
    replay.slice(rows, words, ts=rows.ts)


def _sink(backtest: Backtest, listener: Listener | None) -> Sink:
    if listener is None:
        return lambda name, event: note(backtest, event)

    def both(name: str, event: Event) -> None:
        note(backtest, event)
        listener.event(event)

    return both


def count(backtest: Backtest, digest: Any, rows: Sequence[Row]) -> None:
    """Count a slice's rows, and add them to the data's hash."""
    for row in rows:
        _digest(digest, row)
        backtest.origins.add("synthetic" if row.synthetic else "real")
    backtest.slices += 1
    backtest.rows += sum(len(row) if isinstance(row, TickBlock) else 1 for row in rows)


def note(backtest: Backtest, event: Event) -> None:
    """Take what a run said into its backtest."""
    message = event.message
    if isinstance(message, PositionsUpdated):
        backtest.times.append(message.ts_event)
        backtest.equity.append(message.equity)
    elif isinstance(message, Signal):
        backtest.signals += 1
    elif isinstance(message, SubmitOrder):
        backtest.orders.append(message)
    elif isinstance(message, OrderFilled):
        backtest.fills.append(message)
    elif isinstance(message, OrderDenied):
        backtest.denials.append(message)
    elif isinstance(message, KillSwitchChanged):
        backtest.trips += message.active


def _digest(digest: Any, row: Row) -> None:
    """Hash a row's values, whatever its source is called: the same data has the same hash from file and topic."""
    if isinstance(row, TickBlock):
        digest.update(row.instrument_id.encode())
        for column in (row.times(), row.price, row.size, row.side):
            digest.update(column.tobytes())
    elif isinstance(row, Bar):
        values = (row.ts_open, row.ts_event, row.open, row.high, row.low, row.close, row.volume)
        digest.update(f"{row.instrument_id}|{row.interval}|{values}".encode())
    else:
        digest.update(f"{row.instrument_id}|{row.kind}|{row.amount}|{row.ratio}|{row.ts_event}".encode())
