"""Stress tests: strategies really run on shocked data, beside their baseline and buy-and-hold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents.execution.pool import CostsAt
from agents.transaction_cost.model import CostModel
from orchestrator.backtest import Backtest
from orchestrator.sandbox.market import Exposure, exposure
from orchestrator.sandbox.options import StressOptions
from orchestrator.sandbox.outcome import manifest, summary
from orchestrator.sandbox.panel import Panel
from orchestrator.sandbox.scenario import SandboxMode
from orchestrator.sandbox.shocks import Setting, Shock, shock_of, shocked
from orchestrator.sandbox.trial import Rows, Trial
from orchestrator.strategy import TradingStrategy
from schemas import Bar
from streams.errors import ConfigError, MissingData
from streams.record import rfc3339

REFERENCE = "buy_and_hold"
"""The strategy that stands beside every other."""
Closes = Mapping[int, float]
"""Closes by time, ns UTC."""


@dataclass(frozen=True)
class StressedCosts:
    """Costs that are wider in a stretch of time."""

    calm: CostModel
    stressed: CostModel
    first: int
    """First row's time, ns UTC."""
    last: int
    """Last row's time, ns UTC."""

    def __call__(self, ts: int) -> CostModel:
        """Return the cost model at a time."""
        return self.stressed if self.first <= ts <= self.last else self.calm


@dataclass(frozen=True)
class _Run:
    trial: Trial
    baseline: Backtest
    role: str


def run_stress(
    trials: Sequence[Trial], slices: Rows, options: StressOptions, benchmark: tuple[str, Closes] | None = None
) -> dict[str, Any]:
    """Run trials on slices of bars, as they are and with each shock at each severity; return the documented result.

    trials trade the same instruments. benchmark: a symbol and its closes, that betas are taken to.
    """
    _check_names(trials)
    panel = Panel.of(slices)
    at = _start(panel, options.shock_date)
    found = exposure(panel, at, options.beta_window, benchmark)
    setting = Setting(at, found.betas, options.rate_sensitivity)
    runs = [_Run(trial, trial.run(slices), "strategy") for trial in trials]
    held = buy_and_hold(trials[0])
    runs.append(_Run(held, held.run(slices), "reference"))
    stressed = [
        row
        for name in options.stress_scenarios
        for severity in options.severity_levels
        for row in _stressed(runs, panel, shock_of(name), severity, setting)
    ]
    worst = min((row for row in stressed if row["role"] == "strategy"), key=lambda row: row["final_value"])
    return {
        "status": "completed",
        "performance_metrics": worst["performance_metrics"],
        "stress": {
            "worst": {key: worst[key] for key in ("scenario", "severity", "strategy")},
            "shock": {"bar": at, "session": panel.sessions[at], "time": rfc3339(panel.times[at])},
            "market": _market(panel, found),
            "scenarios": {name: _described(shock_of(name), options) for name in options.stress_scenarios},
            "baselines": [{"strategy": run.trial.name, "role": run.role, **summary(run.baseline)} for run in runs],
            "runs": stressed,
        },
        "manifest": manifest(
            SandboxMode.STRESS_TEST,
            [run.baseline for run in runs],
            options.model_dump(mode="json"),
            derived=f"synthetic from {panel.sessions[at]} on: the bars of the source, shocked",
        ),
    }


def closes_of(slices: Rows) -> Closes:
    """Return the closes of one instrument's bars."""
    return {bar.ts_event: bar.close for rows in slices for bar in rows if isinstance(bar, Bar)}


def buy_and_hold(trial: Trial) -> Trial:
    """Return equal shares of a trial's instruments, bought once and kept, with its cash, costs and fill rule."""
    strategy = TradingStrategy(
        strategy_id=REFERENCE,
        name="Buy and hold",
        symbols=list(trial.plan.strategy.symbols),
        lookback_period=1,
        rebalance_frequency="quarterly",
        parameters={"strategy_type": REFERENCE, "rebalance_band": 1.0},
    )
    return Trial(REFERENCE, replace(trial.plan, strategy=strategy, alpha_pool="alpha"))


def _check_names(trials: Sequence[Trial]) -> None:
    names = [trial.name for trial in trials]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(f"strategies repeat the name {', '.join(repeated)}: give each a name of its own")


def _start(panel: Panel, date: dt.date | None) -> int:
    if date is None:
        return len(panel.bars) // 2
    sessions = panel.sessions
    if date.isoformat() not in sessions:
        raise MissingData(f"shock_date {date} is no session of the data, which have {sessions[0]} to {sessions[-1]}")
    return sessions.index(date.isoformat())


def _stressed(
    runs: Sequence[_Run], panel: Panel, shock: Shock, severity: float, setting: Setting
) -> list[dict[str, Any]]:
    slices = shocked(panel, shock, severity, setting).slices(f"stress:{shock.name}:severity={severity:g}")
    rows = []
    for run in runs:
        backtest = run.trial.run(slices, _costs(run.trial, panel, shock, severity, setting.at))
        lost = run.baseline.final_equity - backtest.final_equity
        rows.append(
            {
                "scenario": shock.name,
                "severity": severity,
                "strategy": run.trial.name,
                "role": run.role,
                **summary(backtest),
                "loss": lost,
                "loss_share": lost / run.baseline.final_equity,
                "time_to_recover": time_to_recover(backtest, panel.times[setting.at]),
            }
        )
    return rows


def _costs(trial: Trial, panel: Panel, shock: Shock, severity: float, at: int) -> CostsAt | None:
    if shock.half_spread == 1:
        return None
    calm = trial.plan.settings.cost_model()
    spread = calm.half_spread_bps * shock.scaled(shock.half_spread, severity)
    stressed = calm.model_copy(update={"half_spread_bps": spread})
    return StressedCosts(calm, stressed, panel.times[at], panel.times[at + shock.bars - 1])


def time_to_recover(backtest: Backtest, ts: int) -> int | None:
    """Return how many slices, that at the time included, it took until equity was back where it was before them.

    None: it never is; 0: it never was below.
    """
    times = np.array(backtest.times)
    first = int(np.searchsorted(times, ts))
    equity = np.array([backtest.run.initial_cash, *backtest.equity])[first:]  # the first value is from before the time
    below = np.flatnonzero(equity[1:] < equity[0])
    if not len(below):
        return 0
    back = np.flatnonzero(equity[1 + below[0] :] >= equity[0])
    return int(below[0] + back[0] + 1) if len(back) else None


def _market(panel: Panel, found: Exposure) -> dict[str, Any]:
    return {
        "benchmark": found.market,
        "betas": dict(zip(panel.instruments, found.betas.tolist(), strict=True)),
        "observations": found.observations,
        "first": found.first,
        "last": found.last,
    }


def _described(shock: Shock, options: StressOptions) -> dict[str, Any]:
    return {
        "title": shock.title,
        "reason": shock.reason,
        "bars": shock.bars,
        "market_levels": shock.market(1.0, options.rate_sensitivity).tolist(),
        "volatility": shock.volatility,
        "volume": shock.volume,
        "half_spread": shock.half_spread,
    }
