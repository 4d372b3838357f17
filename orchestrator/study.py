"""A backtest with what it takes to judge it: benchmarks and cost multiples by the same replay, and intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents.metrics import distribution, performance_metrics, ratios, returns
from agents.metrics.bootstrap import RESAMPLES, block_length, confidence_interval
from agents.metrics.drawdown import max_drawdown
from agents.metrics.performance import DAY_NS, MIN_DAYS, Figures
from agents.metrics.series import Levels, last_of
from agents.metrics.trips import Trip, closed_trips
from agents.pool import AgentPool
from orchestrator.backtest import Backtest, BacktestPlan, Slices, run_backtest
from orchestrator.chain import Link
from orchestrator.recording import Course, Recording
from orchestrator.settings import Settings
from orchestrator.strategy import TradingStrategy
from schemas import OrderDenied, OrderFilled, PositionsUpdated, StrategyStarted
from schemas.columns import Float64

PoolsOf = Callable[[BacktestPlan], Sequence[AgentPool]]
"""Fresh pools for a plan; its settings and fill rule count."""
Statistic = Callable[[Float64], float | None]
"""A figure of returns."""
Again = Callable[[], Slices]
"""The same slices from the beginning, each time."""
MULTIPLES = (1.0, 2.0, 3.0)
"""Of the configured costs."""
INVESTED = 0.96
"""Share of equity that a benchmark invests; the rest pays its costs."""
DAYS_PER_YEAR = 252
MAX_RETURNS = 5_000
"""Returns that are resampled; more are compounded to fewer first."""
_FREE = {"max_position_weight": 1.0, "max_gross_exposure": 1.0, "max_order_notional": 1e15, "max_daily_loss": 1.0}


@dataclass(frozen=True)
class Benchmark:
    """A strategy that takes no view, on the same data, capital, costs and fill rule."""

    name: str
    note: str
    """What it does, for people."""
    levels: Levels
    figures: Figures


@dataclass(frozen=True)
class CostCase:
    """The strategy once more, with commission, half spread and impact multiplied."""

    multiple: float
    levels: Levels
    figures: Figures
    fills: int
    commission: float
    spread: float
    impact: float


@dataclass(frozen=True)
class Interval:
    """A figure with its stationary bootstrap interval."""

    name: str
    value: float | None
    bounds: tuple[float, float] | None


@dataclass(frozen=True)
class Intervals:
    """Confidence intervals, and how they were made."""

    of: tuple[Interval, ...]
    level: float
    resamples: int
    mean_block: float
    observations: int
    period: str
    """What a return spans: day, slice, or so many slices."""
    seed: int


@dataclass(frozen=True)
class Comparison:
    """What was run next to a strategy."""

    benchmarks: tuple[Benchmark, ...]
    costs: tuple[CostCase, ...]
    own: Backtest
    """The strategy's own replay, at the configured costs."""


@dataclass(frozen=True)
class Study:
    """All that a report shows of one run."""

    title: str
    """Names it among others."""
    heading: str
    """The strategy's own name."""
    run: StrategyStarted
    course: Course
    figures: Figures
    """As the run's result has them."""
    relative: Figures
    """beta, alpha and information_ratio against buy and hold."""
    counts: Mapping[str, int]
    fills: Sequence[OrderFilled]
    denials: Sequence[OrderDenied]
    trips: Sequence[Trip]
    last_state: PositionsUpdated | None
    chains: Mapping[str, Sequence[Link]]
    """By id of the fill or denial."""
    comparison: Comparison
    intervals: Intervals
    manifest: Mapping[str, Any]
    command: str = ""
    """What runs it again."""
    notes: tuple[str, ...] = ()
    """What else there is to say at the top."""


async def study(plan: BacktestPlan, again: Again, pools: PoolsOf, *, seed: int = 0, command: str = "") -> Study:
    """Run the strategy, its benchmarks and its cost multiples. Raises MissingData where there are no slices."""
    recording = Recording(plan.run())
    backtest = await run_backtest(plan, again(), pools(plan), recording)
    comparison = await compare(plan, again, pools, backtest)
    return study_of(backtest, recording, comparison, seed=seed, command=command)


def study_of(
    backtest: Backtest, recording: Recording, comparison: Comparison, *, seed: int = 0, command: str = ""
) -> Study:
    """Return the study of a backtest that was recorded and compared."""
    course = recording.course()
    return Study(
        title=backtest.plan.strategy.name,
        heading=backtest.plan.strategy.name,
        run=backtest.run,
        course=course,
        figures=backtest.metrics(),
        relative=relative_to(comparison.benchmarks, course, backtest.run.initial_cash),
        counts={
            "rows": backtest.rows,
            "slices": backtest.slices,
            "signals": backtest.signals,
            "orders": len(backtest.orders),
            "fills": len(backtest.fills),
            "denials": len(backtest.denials),
        },
        fills=backtest.fills,
        denials=backtest.denials,
        trips=closed_trips(backtest.fills),
        last_state=recording.last_state,
        chains=recording.chains(),
        comparison=comparison,
        intervals=intervals_of(course.levels, backtest.run.initial_cash, seed),
        manifest=backtest.manifest(),
        command=command,
    )


async def compare(plan: BacktestPlan, again: Again, pools: PoolsOf, done: Backtest | None = None) -> Comparison:
    """Replay the benchmarks and the cost multiples; done is the strategy's own replay, where there was one."""
    cases = []
    for multiple in MULTIPLES:
        if multiple == 1 and done is not None:
            ran = done
        else:
            dearer = replace(plan, settings=with_costs(plan.settings, multiple))
            ran = await run_backtest(dearer, again(), pools(dearer))
        cases.append(_cost_case(multiple, ran))
        done = done or ran
    assert done is not None
    benchmarks = []
    for name, note, strategy in _benchmarks(plan.strategy, len(plan.instruments)):
        other = replace(plan, strategy=strategy, alpha_pool="alpha")
        ran = await run_backtest(other, again(), pools(other))
        benchmarks.append(Benchmark(name, note, _levels(ran), ran.metrics()))
    if len(benchmarks) > 1 and np.array_equal(benchmarks[0].levels.values, benchmarks[1].levels.values):
        alike = benchmarks.pop().name.lower()
        benchmarks[0] = replace(benchmarks[0], note=f"{benchmarks[0].note}; here {alike} is the same")
    return Comparison(tuple(benchmarks), tuple(cases), done)


def with_costs(settings: Settings, multiple: float) -> Settings:
    """Return settings whose commission, half spread and impact are multiplied."""
    costs, sandbox = settings.costs, settings.sandbox
    dearer = {name: getattr(costs, name) * multiple for name in ("half_spread_bps", "impact_coefficient")}
    commission = {"commission_rate": sandbox.commission_rate * multiple}
    update = {"costs": costs.model_copy(update=dearer), "sandbox": sandbox.model_copy(update=commission)}
    return settings.model_copy(update=update)


def relative_to(benchmarks: Sequence[Benchmark], course: Course, start: float) -> Figures:
    """Return beta, alpha and information ratio against the first benchmark; None where the times differ."""
    names = ("beta", "alpha", "information_ratio")
    if not benchmarks or not np.array_equal(benchmarks[0].levels.times, course.times):
        return dict.fromkeys(names)
    levels = np.concatenate(([start], benchmarks[0].levels.values))
    if (levels <= 0).any():
        return dict.fromkeys(names)
    equity = np.concatenate(([start], course.equity))
    times = [int(course.times[0]) - 1, *(int(each) for each in course.times)]
    figures = performance_metrics(equity, times, [], benchmark=levels)
    return {name: figures[name] for name in names}


def intervals_of(levels: Levels, start: float, seed: int, level: float = 0.95) -> Intervals:
    """Return 95 % stationary bootstrap intervals of the run's figures; per year only from 30 days on."""
    kept, period = _resampled(levels)
    values = np.concatenate(([start], kept.values))
    changes = returns.simple_returns(values)
    days = (int(levels.times[-1]) - int(levels.times[0])) / DAY_NS
    statistics = _FIGURES | (_annual(days) if days >= MIN_DAYS else {})
    found = [
        Interval(
            name,
            statistic(changes) if len(changes) > 1 else None,
            confidence_interval(statistic, changes, generator=np.random.default_rng(seed), level=level),
        )
        for name, statistic in statistics.items()
    ]
    return Intervals(tuple(found), level, RESAMPLES, block_length(changes), len(changes), period, seed)


def _resampled(levels: Levels) -> tuple[Levels, str]:
    days = last_of(levels, "D")
    if len(days.times) >= MIN_DAYS or len(days.times) == len(levels.times):
        return days, "day"
    if len(levels.times) <= MAX_RETURNS:
        return levels, "slice"
    step = -(-len(levels.times) // MAX_RETURNS)
    last = np.arange(len(levels.times) - 1, -1, -step)[::-1]
    return Levels(levels.times[last], levels.values[last]), f"{step} slices"


def _grown(changes: Float64) -> Float64:
    return np.concatenate(([1.0], np.cumprod(1 + changes)))


def _annual(days: float) -> dict[str, Statistic]:
    return {
        "annual_return": lambda r: returns.compounded(float(np.prod(1 + r)), returns.YEAR_DAYS / days),
        "volatility": lambda r: returns.volatility(r, DAYS_PER_YEAR),
        "sharpe_ratio": lambda r: ratios.sharpe_ratio(r, DAYS_PER_YEAR),
    }


_FIGURES: dict[str, Statistic] = {
    "total_return": lambda r: float(np.prod(1 + r)) - 1,
    "max_drawdown": lambda r: max_drawdown(_grown(r)),
    "cvar_95": distribution.conditional_value_at_risk,
}
"""What is resampled of any run; see _annual for what is per year."""


def _benchmarks(strategy: TradingStrategy, count: int) -> list[tuple[str, str, TradingStrategy]]:
    share = INVESTED / count
    found = [
        (
            "Buy and hold",
            f"buys each instrument once with {share:.1%} of equity and never trades again",
            {"strategy_type": "buy_and_hold", "position_size": share, "rebalance_band": 1.0},
            "daily",
        )
    ]
    if count > 1:
        found.append(
            (
                "Equal weight",
                f"holds each instrument at {share:.1%} of equity, restored each month",
                {"strategy_type": "equal_weight", "gross": INVESTED, "rebalance_band": 0.0},
                "monthly",
            )
        )
    return [
        (
            name,
            note,
            TradingStrategy(
                strategy_id=f"benchmark_{parameters['strategy_type']}",
                name=name,
                symbols=list(strategy.symbols),
                rebalance_frequency=frequency,
                parameters={**parameters, "limits": _FREE},
            ),
        )
        for name, note, parameters, frequency in found
    ]


def _cost_case(multiple: float, ran: Backtest) -> CostCase:
    paid = [sum(getattr(f, name) for f in ran.fills) for name in ("commission", "spread_cost", "impact_cost")]
    return CostCase(multiple, _levels(ran), ran.metrics(), len(ran.fills), *paid)


def _levels(ran: Backtest) -> Levels:
    return Levels(np.array(ran.times), np.array(ran.equity))
