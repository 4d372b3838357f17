"""The alpha pool: the built-in models, on the data plane and as workflow steps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from agents.alpha.ema_cross import EmaCrossParameters
from agents.alpha.models import EmaState, Opinion, advance_ema, decide, history_needed, opinion_of, parse_parameters
from agents.context import Because, Prices, Run, Slice
from agents.parameters import Parameters
from agents.pool import AgentPool
from agents.steps import Inputs
from streams.record import rfc3339
from streams.state import State


class RunState(State):
    """What the pool remembers for one run."""

    closes: dict[str, list[float]] = Field(default_factory=dict)
    """The latest prices by instrument, oldest first, no more than a decision needs."""
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
    pool = AgentPool("alpha", role="alpha")

    @pool.on
    def on_slice(slice_: Slice, run: Run, state: RunState) -> Iterator[Because]:
        """Decide once every instrument has the history that the model needs, at most once per rebalance period."""
        return _decide(slice_, run, state)

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


def _decide(slice_: Slice, run: Run, state: RunState) -> Iterator[Because]:
    started = run.started
    parameters = parse_parameters(started.strategy_type, started.parameters)
    fresh = {name: prices for name, prices in slice_.prices.items() if name in run.instrument_ids}
    if not fresh:
        return
    opinions = _learn(fresh, run, parameters, state)
    period = period_of(started.rebalance_frequency, slice_.session_date, slice_.ts)
    if opinions is None or period == state.period or (started.once and state.period):
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


def _learn(fresh: Mapping[str, Prices], run: Run, parameters: Parameters, state: RunState) -> dict[str, Opinion] | None:
    """Take the slice's prices in; return opinions once every instrument has its history."""
    if isinstance(parameters, EmaCrossParameters):
        return _learn_averages(fresh, run, parameters, state)
    kind, lookback = run.started.strategy_type, run.started.lookback_period
    needed = history_needed(kind, parameters, lookback)
    for instrument_id, prices in fresh.items():
        kept = [*state.closes.get(instrument_id, ()), *prices.values.tolist()]
        state.closes[instrument_id] = kept[-needed:]
    if any(len(state.closes.get(name, ())) < needed for name in run.instrument_ids):
        return None
    closes = {name: np.array(state.closes[name]) for name in run.instrument_ids}
    return decide(kind, parameters, closes, lookback)


def _learn_averages(
    fresh: Mapping[str, Prices], run: Run, parameters: EmaCrossParameters, state: RunState
) -> dict[str, Opinion] | None:
    for instrument_id, prices in fresh.items():
        averages = state.averages.setdefault(instrument_id, EmaState())
        advance_ema(averages, prices.values, parameters.fast, parameters.slow)
    ready = {name: averages for name, averages in state.averages.items() if averages.count >= parameters.slow}
    return None if len(ready) < len(run.instrument_ids) else {name: opinion_of(ema) for name, ema in ready.items()}


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
    closes = inputs.column("close")
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
