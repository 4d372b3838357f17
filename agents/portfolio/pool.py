"""The portfolio pool: target sizes from signals, and the ledger of every account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agents.context import Because, Context, Slice
from agents.pool import AgentPool
from agents.portfolio.actions import act
from agents.portfolio.construction import propose
from agents.portfolio.financing import NO_FINANCING, FinancingModel
from agents.portfolio.ledger import Ledger, accrue, apply, check_balance, mark, register, snapshot
from agents.steps import Inputs, StepContext
from schemas import (
    CorporateAction,
    Instrument,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    PositionsUpdated,
    RiskLimits,
    Signal,
    StrategyStarted,
)
from streams.errors import ConfigError
from streams.ids import derive_id


class TargetParameters(BaseModel):
    """Parameters of the construct_targets step."""

    model_config = ConfigDict(extra="forbid")
    capital: float | None = Field(default=None, gt=0)
    """Equity to size for, in the instruments' currency; None: the configured initial capital."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """The strategy's parameters."""


def build(*, initial_capital: float, headroom: float, financing: FinancingModel = NO_FINANCING) -> AgentPool:
    """Return the pool.

    initial_capital is what a what-if is sized for where its step names no capital; headroom is the share of an order's
    notional that risk sets aside on top of it. financing must be that of the risk pool.
    """
    pool = AgentPool("portfolio", role="portfolio")

    @pool.on
    def on_report(
        report: OrderAccepted | OrderRejected | OrderFilled | OrderCanceled | OrderExpired, ledger: Ledger
    ) -> None:
        """Book an execution report."""
        accrue(ledger, financing, report.ts_event)
        apply(ledger, report)

    @pool.on
    def on_action(action: CorporateAction, context: Context) -> None:
        """Book a dividend or a split in every account."""
        for ledger in context.each(Ledger):
            accrue(ledger, financing, action.ts_event)
            act(ledger, action)

    @pool.on(phase="mark")
    def on_marks(slice_: Slice, context: Context) -> Iterator[PositionsUpdated]:
        """Open the accounts of new runs, mark positions, check that money adds up, tell the positions."""
        for run in context.runs.values():
            ledger = context.state(Ledger, run.account_id)
            accrue(ledger, financing, slice_.ts)
            register(ledger, run)
        for ledger in context.each(Ledger):
            accrue(ledger, financing, slice_.ts)
            for instrument_id, prices in slice_.prices.items():
                mark(ledger, instrument_id, float(prices.values[-1]))
            check_balance(ledger)
            yield snapshot(ledger, slice_.ts)

    @pool.on
    def on_signal(signal: Signal, context: Context) -> None:
        """Refuse a signal of a run that is not active here, or on what the run does not trade."""
        _check(signal, context)

    @pool.on(phase="construct")
    def on_signals(slice_: Slice, context: Context) -> Iterator[Because]:
        """Size the targets of each run."""
        return _proposals(slice_, context, headroom)

    @pool.step("construct_targets")
    def construct_targets(parameters: TargetParameters, inputs: Inputs, step: StepContext) -> dict[str, Any]:
        """Size the signals of an earlier step for an account that holds nothing."""
        return _targets(parameters, parameters.capital or initial_capital, headroom, inputs, step)

    return pool


def _check(signal: Signal, context: Context) -> None:
    run = context.runs.get(signal.run_id)
    if run is None or run.account_id != signal.account_id:
        raise ConfigError(f"run {signal.run_id!r} with account {signal.account_id!r} is not active")
    if signal.instrument_id not in {instrument.instrument_id for instrument in run.instruments}:
        raise ConfigError(f"run {signal.run_id!r} does not trade {signal.instrument_id}")


def _proposals(slice_: Slice, context: Context, headroom: float) -> Iterator[Because]:
    by_run: dict[str, list[tuple[str, Signal]]] = {}
    for message_id, signal in slice_.of(Signal):
        by_run.setdefault(signal.run_id, []).append((message_id, signal))
    for run_id, signals in sorted(by_run.items()):
        run = context.runs[run_id]
        for proposal in propose(context.state(Ledger, run.account_id), run, signals, slice_.ts, headroom=headroom):
            yield Because(proposal, proposal.signal_id)


def _targets(
    parameters: TargetParameters, capital: float, headroom: float, inputs: Inputs, step: StepContext
) -> dict[str, Any]:
    instruments, closes = inputs.instruments(), inputs.column("close")
    run = _what_if(parameters, capital, instruments, step)
    ledger = Ledger()
    register(ledger, run)
    for name, prices in closes.items():
        mark(ledger, name, float(prices[-1]))
    signals = [_signal(run, each, inputs.last_ts) for each in inputs.find("signals")]
    named = [(derive_id(step.workflow_id, "portfolio", signal.instrument_id), signal) for signal in signals]
    orders = [
        {
            "symbol": instruments[order.instrument_id].symbol,
            "instrument_id": order.instrument_id,
            "side": order.side,
            "quantity": order.quantity,
            "price": order.reference_price,
            "weight": order.quantity * order.reference_price / capital,
        }
        for order in propose(ledger, run, named, inputs.last_ts, headroom=headroom)
    ]
    return {"orders": orders, "capital": capital}


def _what_if(
    parameters: TargetParameters, capital: float, instruments: dict[str, Instrument], step: StepContext
) -> StrategyStarted:
    currencies = sorted({instrument.currency for instrument in instruments.values()})
    if len(currencies) != 1:
        raise ConfigError(f"targets need instruments of one currency, got {', '.join(currencies) or 'none'}")
    return StrategyStarted(
        run_id=step.workflow_id,
        strategy_id=step.workflow_id,
        account_id=step.workflow_id,
        workflow_id=step.workflow_id,
        alpha_pool="alpha",
        strategy_type="what_if",
        lookback_period=1,
        rebalance_frequency="bar",
        parameters=parameters.parameters,
        instruments=tuple(instruments.values()),
        currency=currencies[0],
        initial_cash=capital,
        limits=RiskLimits(),
        ts_event=step.ts,
    )


def _signal(run: StrategyStarted, given: dict[str, Any], ts: int) -> Signal:
    return Signal(
        run_id=run.run_id,
        strategy_id=run.strategy_id,
        account_id=run.account_id,
        instrument_id=given["instrument_id"],
        signal=given["signal"],
        score=given["score"],
        confidence=given["confidence"],
        target_weight=given.get("target_weight"),
        price=given["price"],
        model=run.strategy_type,
        ts_event=ts,
    )
