"""The demo: the main job end to end, on the embedded default or through real Kafka in separate processes.

Act one: a momentum strategy over real daily bars, one decision per bar, started by a workflow. Act two: generated ticks
of a simulated venue through the same pools.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agents.data.feed import Row
from agents.data.fetch import FetchParameters, fetch
from agents.data.slicing import bar_slices
from agents.data.sources import SampleProvider
from agents.data.synthetic import synthetic_instruments, synthetic_ticks
from agents.data.windows import windows
from agents.metrics import performance_metrics
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.strategy import TradingStrategy
from schemas import (
    Message,
    OrderDenied,
    OrderFilled,
    OrderProposed,
    OrderReport,
    PositionsUpdated,
    RunStep,
    Signal,
    StepCompleted,
    StrategyStarted,
    SubmitOrder,
    TickBlock,
)
from streams.errors import WorkflowError
from streams.record import Event, nanoseconds
from streams.tail import Tail, tail

FOLLOWED = ("steps", "results", "signals", "targets", "risk", "orders", "fills", "positions")
SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class DemoPlan:
    """What the demo runs; every field is printed with the result."""

    symbols: tuple[str, ...] = ("AAPL", "GOOGL", "IBM", "MSFT")
    start: str = "2012-01-03"
    end: str = "2012-12-31"
    initial_cash: float = 100_000.0
    tick_symbols: tuple[str, ...] = ("SIMA", "SIMB", "SIMC")
    ticks_per_symbol: int = 10_000
    tick_start: str = "2013-01-02T14:30:00Z"
    window_s: int = 5
    seed: int = 7

    def daily(self) -> TradingStrategy:
        """Return act one's strategy: hold the two strongest of the symbols."""
        return TradingStrategy(
            strategy_id="demo_momentum",
            name="Two strongest by 20-day return",
            symbols=list(self.symbols),
            lookback_period=20,
            rebalance_frequency="bar",
            parameters={"strategy_type": "momentum", "momentum_threshold": 0.02, "top": 2, "position_size": 0.48},
        )

    def intraday(self) -> TradingStrategy:
        """Return act two's strategy: long while the fast average of trades lies above the slow one."""
        return TradingStrategy(
            strategy_id="demo_ema_cross",
            name="EMA cross on trades",
            symbols=[f"{symbol}.SIM" for symbol in self.tick_symbols],
            rebalance_frequency="bar",
            parameters={"strategy_type": "ema_cross", "fast": 200, "slow": 1000, "position_size": 0.3},
        )


@dataclass
class Act:
    """What one run of the demo led to."""

    run: StrategyStarted
    source: str
    synthetic: bool
    rows: int
    wall_s: float
    events: Sequence[Event] = field(default_factory=list)
    slices: Sequence[Sequence[Row]] = field(default_factory=list, repr=False)
    """What was published, to replay it."""

    def of(self, kind: type[Message]) -> list[Any]:
        """Return the run's messages of a type."""
        account = self.run.account_id
        return [e.message for e in self.events if isinstance(e.message, kind) and _account(e.message) == account]

    def decision_ids(self) -> str:
        """Return the SHA-256 over the ids of the run's signals, targets, denials, orders and reports."""
        decided = (Signal, OrderProposed, OrderDenied, SubmitOrder, OrderReport)
        mine = [event for event in self.events if _account(event.message) == self.run.account_id]
        ids = sorted(event.envelope.message_id for event in mine if isinstance(event.message, decided))
        return hashlib.sha256("".join(ids).encode()).hexdigest()

    @property
    def equity(self) -> list[PositionsUpdated]:
        """Return the account's state after each slice."""
        return self.of(PositionsUpdated)

    def metrics(self) -> dict[str, float | None]:
        """Return the run's performance, start capital included as the first point."""
        states = self.equity
        values = np.array([self.run.initial_cash, *(state.equity for state in states)])
        times = [states[0].ts_event - 1, *(state.ts_event for state in states)]
        return performance_metrics(values, times, self.of(OrderFilled), positions=states)

    def counts(self) -> dict[str, int]:
        """Return how many messages of each kind there were."""
        orders, denials = len(self.of(SubmitOrder)), len(self.of(OrderDenied))
        return {
            "rows": self.rows,
            "signals": len(self.of(Signal)),
            "risk_decisions": orders + denials,
            "orders": orders,
            "denials": denials,
            "fills": len(self.of(OrderFilled)),
        }


@dataclass
class DemoResult:
    """Both acts together."""

    plan: DemoPlan
    broker: str
    daily: Act
    intraday: Act
    steps: int
    wall_s: float
    prefix: str = ""
    """Stands before each topic's name on Kafka."""
    rows: dict[str, Any] = field(default_factory=dict)
    """Rows published by topic, and rows handled and dead-lettered by each task."""

    def summary(self) -> dict[str, Any]:
        """Return the demo's result as JSON."""
        one, two = self.daily.counts(), self.intraday.counts()
        last = self.daily.equity[-1]
        return {
            "broker": self.broker,
            "prefix": self.prefix,
            "data_source": {
                "bars": f"{self.daily.source} (real)",
                "ticks": f"{self.intraday.source} (synthetic)",
            },
            "bars": one["rows"],
            "ticks": two["rows"],
            "workflow_steps": self.steps,
            **{name: one[name] + two[name] for name in ("signals", "risk_decisions", "orders", "denials", "fills")},
            "final_equity": last.equity,
            "final_equity_ticks": self.intraday.equity[-1].equity,
            "decision_ids_sha256": [self.daily.decision_ids(), self.intraday.decision_ids()],
            "performance_metrics": self.daily.metrics(),
            "acts": {"bars": one, "ticks": two},
            "rows": self.rows,
            "plan": {**self.plan.__dict__},
            "wall_s": round(self.wall_s, 3),
        }


async def run_demo(orchestrator: FinAgentOrchestrator, broker: str, plan: DemoPlan, progress: Any) -> DemoResult:
    """Run both acts on an initialized orchestrator; progress is told what happens."""
    began = time.perf_counter()
    async with tail(orchestrator.broker, orchestrator.serde, FOLLOWED) as followed:
        daily = await _daily(orchestrator, plan, followed, progress)
        intraday = await _intraday(orchestrator, plan, followed, progress)
        steps = [event.message for event in followed.events if isinstance(event.message, RunStep)]
        done = [event.message for event in followed.events if isinstance(event.message, StepCompleted)]
    unanswered = {(step.workflow_id, step.step_id) for step in steps} - {
        (each.workflow_id, each.step_id) for each in done
    }
    if unanswered:
        raise WorkflowError(f"steps without an answer: {sorted(unanswered)}")
    produced = dict((await orchestrator.feed()).state.rows)
    wall = time.perf_counter() - began
    return DemoResult(plan, broker, daily, intraday, len(done), wall, rows={"produced": produced})


async def _daily(orchestrator: FinAgentOrchestrator, plan: DemoPlan, followed: Tail, progress: Any) -> Act:
    progress("act one: workflow fetches history, checks signals, risk and cost, then starts the run")
    provider = SampleProvider()
    fetched = fetch(provider, FetchParameters(symbols=plan.symbols, start=plan.start, end=plan.end))
    bars = [bar for block in fetched.blocks for bar in block.bars()]
    feed = await orchestrator.feed()
    await feed.reference_data(fetched.instruments)
    run = await orchestrator.start_strategy(
        plan.daily(), initial_cash=plan.initial_cash, history_end=_day_before(plan.start), run_id="demo-daily"
    )
    began = time.perf_counter()
    progress(f"act one: {len(bars)} real daily bars of {', '.join(plan.symbols)}, a decision per bar")
    slices = list(bar_slices(bars))
    await feed.publish(slices)
    await followed.slice_done(max(bar.ts_event for bar in bars), orchestrator.partitions, timeout_s=240)
    act = Act(
        run, fetched.provider, fetched.synthetic, len(bars), time.perf_counter() - began, list(followed.events), slices
    )
    await orchestrator.stop_strategy(run.run_id, "demo act one is over")
    return act


async def _intraday(orchestrator: FinAgentOrchestrator, plan: DemoPlan, followed: Tail, progress: Any) -> Act:
    feed = await orchestrator.feed()
    await feed.reference_data(synthetic_instruments(plan.tick_symbols))
    run = await orchestrator.start_strategy(
        plan.intraday(), initial_cash=plan.initial_cash, check_history=False, run_id="demo-ticks"
    )
    blocks = synthetic_ticks(
        plan.tick_symbols, plan.ticks_per_symbol, seed=plan.seed, start_ns=nanoseconds(plan.tick_start)
    )
    ticks = sum(map(len, blocks))
    progress(f"act two: {ticks} synthetic ticks (seed {plan.seed}) of {', '.join(plan.tick_symbols)}")
    began = time.perf_counter()
    slices: list[list[TickBlock]] = list(windows(blocks, plan.window_s * SECOND_NS))
    await feed.publish(slices)
    last = max(block.ts_event for block in slices[-1])
    await followed.slice_done(last, orchestrator.partitions, timeout_s=240)
    await orchestrator.stop_strategy(run.run_id, "demo act two is over")
    return Act(run, blocks[0].source, True, ticks, time.perf_counter() - began, list(followed.events), slices)


def _account(message: Message) -> str:
    return str(getattr(message, "account_id", ""))


def _day_before(day: str) -> str:
    return str(np.datetime64(day) - np.timedelta64(1, "D"))
