"""The alpha pool: the built-in models, on the data plane and as workflow steps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from agents.alpha.ema_cross import EmaCrossParameters
from agents.alpha.models import EmaState, Opinion, advance_ema, decide, is_aligned, opinion_of, parse_parameters
from agents.alpha.plans import Plan, Plans
from agents.context import Because, Prices, Run, Slice
from agents.pool import AgentPool
from agents.steps import Inputs
from schemas import CorporateAction
from streams.record import rfc3339
from streams.state import State


class RunState(State):
    """What the pool remembers for one run."""

    closes: dict[str, list[float]] = Field(default_factory=dict)
    """The latest prices by instrument, oldest first, no more than a decision needs; back-adjusted for splits."""
    averages: dict[str, EmaState] = Field(default_factory=dict)
    """Running averages by instrument."""
    period: str = ""
    """The rebalance period of the last decision."""


class SignalParameters(BaseModel):
    """Parameters of the generate_signals step."""

    model_config = ConfigDict(extra="forbid")
    strategy_type: str = "momentum"
    """The model."""
    lookback_period: int = Field(default=20, ge=1)
    """History that the decision looks at, in bars."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the model and of portfolio construction."""


def build() -> AgentPool:
    """Return the pool."""
    pool, plans = AgentPool("alpha", role="alpha"), Plans()

    @pool.on
    def on_slice(slice_: Slice, run: Run, state: RunState) -> Iterator[Because]:
        """Decide once every instrument has the history that the model needs, at most once per rebalance period."""
        return _decide(slice_, run, state, plans.of(run.started))

    @pool.step("generate_signals")
    def generate_signals(parameters: SignalParameters, inputs: Inputs) -> dict[str, Any]:
        """Evaluate a model as of the last bar."""
        return _evaluate(parameters, inputs)

    @pool.step("calculate_momentum")
    def calculate_momentum(parameters: dict[str, Any], inputs: Inputs) -> dict[str, Any]:
        """Evaluate momentum; parameters: lookback_period, and those of the momentum model."""
        own = {name: value for name, value in parameters.items() if name != "lookback_period"}
        lookback = parameters.get("lookback_period", 20)
        return _evaluate(SignalParameters(lookback_period=lookback, parameters=own), inputs)

    return pool


def _decide(slice_: Slice, run: Run, state: RunState, plan: Plan) -> Iterator[Because]:
    _back_adjust(slice_, run, state)
    fresh = {name: prices for name, prices in slice_.prices.items() if name in run.instrument_ids}
    if not fresh or (plan.aligned and len(fresh) < len(run.instrument_ids)):
        return
    _learn(fresh, plan, state)
    period = period_of(run.started.rebalance_frequency, slice_.session_date, slice_.ts)
    if period == state.period or (run.started.once and state.period):
        return
    opinions = _opinions(run, plan, state)
    if opinions is None:
        return
    state.period = period
    for instrument_id, prices in fresh.items():
        opinion = opinions[instrument_id]
        signal = run.signal(
            instrument_id,
            opinion.signal,
            price=float(prices.values[-1]),
            score=opinion.score,
            confidence=opinion.confidence,
            target_weight=opinion.target_weight,
        )
        yield Because(signal, prices.row_id)


def _back_adjust(slice_: Slice, run: Run, state: RunState) -> None:
    """Bring remembered raw prices onto the scale after a split, which lies before the slice's own prices."""
    for _, action in slice_.of(CorporateAction):
        name, ratio = action.instrument_id, action.ratio
        if ratio is None or name not in run.instrument_ids:
            continue
        if name in state.closes:
            state.closes[name] = [close / ratio for close in state.closes[name]]
        if name in state.averages:
            state.averages[name].fast /= ratio
            state.averages[name].slow /= ratio


def _learn(fresh: Mapping[str, Prices], plan: Plan, state: RunState) -> None:
    """Take the slice's prices in; an aligned model takes one price of each instrument, the last."""
    for instrument_id, prices in fresh.items():
        values = prices.values[-1:] if plan.aligned else prices.values
        if isinstance(plan.parameters, EmaCrossParameters):
            averages = state.averages.setdefault(instrument_id, EmaState())
            advance_ema(averages, values, plan.parameters.fast, plan.parameters.slow)
        else:
            kept = [*state.closes.get(instrument_id, ()), *values.tolist()]
            state.closes[instrument_id] = kept[-plan.needed :]


def _opinions(run: Run, plan: Plan, state: RunState) -> dict[str, Opinion] | None:
    """Return opinions once every instrument has its history."""
    names = run.instrument_ids
    if isinstance(plan.parameters, EmaCrossParameters):
        ready = {name: ema for name, ema in state.averages.items() if ema.count >= plan.parameters.slow}
        return None if len(ready) < len(names) else {name: opinion_of(ema) for name, ema in ready.items()}
    if any(len(state.closes.get(name, ())) < plan.needed for name in names):
        return None
    closes = {name: np.array(state.closes[name]) for name in names}
    return decide(run.started.strategy_type, plan.parameters, closes, run.started.lookback_period)


def period_of(frequency: str, session_date: str, ts: int) -> str:
    """Return the name of the rebalance period that a slice lies in."""
    day = dt.date.fromisoformat(session_date)
    year, week, _ = day.isocalendar()
    periods = {
        "bar": str(ts),
        "daily": session_date,
        "weekly": f"{year}-W{week:02d}",
        "monthly": session_date[:7],
        "quarterly": f"{day.year}-Q{(day.month + 2) // 3}",
    }
    return periods[frequency]


def _evaluate(asked: SignalParameters, inputs: Inputs) -> dict[str, Any]:
    closes = inputs.common_closes() if is_aligned(asked.strategy_type) else inputs.column("close")
    parameters = parse_parameters(asked.strategy_type, asked.parameters)
    opinions = decide(asked.strategy_type, parameters, closes, asked.lookback_period)
    instruments = inputs.instruments()
    signals = [
        {
            "symbol": instruments[name].symbol,
            "instrument_id": name,
            "signal": opinion.signal,
            "score": opinion.score,
            "confidence": opinion.confidence,
            "target_weight": opinion.target_weight,
            "price": float(closes[name][-1]),
        }
        for name, opinion in opinions.items()
    ]
    return {"signals": signals, "model": asked.strategy_type, "as_of": rfc3339(inputs.last_ts)}
