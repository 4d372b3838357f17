"""A driver of `advance`: keeps the state, collects what is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.advance import Advanced, Context, Event, TimerDue, advance
from orchestrator.planner import PoolInfo
from orchestrator.strategy import TradingStrategy
from schemas import (
    ExecuteStrategy,
    ExecuteWorkflow,
    Message,
    RiskLimits,
    RunStep,
    StartStrategy,
    StepCompleted,
    StepFailed,
    StepSpec,
    StrategyStarted,
    Workflow,
)
from streams.ids import derive_id, timer_id

SECOND = 1_000_000_000
T0 = 1_000 * SECOND
AAPL = {
    "instrument_id": "AAPL.XNAS",
    "symbol": "AAPL",
    "venue": "XNAS",
    "currency": "USD",
    "tick_size": 0.01,
    "lot_size": 1.0,
    "multiplier": 1.0,
    "calendar": "XNYS",
}
BUILT_IN = ("data", "alpha", "risk", "portfolio", "transaction_cost")
POOLS = {f"{name}_agent_pool": PoolInfo(f"{name}_agent_pool") for name in BUILT_IN} | {"p": PoolInfo("p")}


def step(step_id: str, *depends_on: str, **changed: Any) -> StepSpec:
    given = {"step_id": step_id, "agent_pool": "p", "action": "do", "depends_on": depends_on, **changed}
    return StepSpec(**given)


def command(*steps: StepSpec) -> ExecuteWorkflow:
    return ExecuteWorkflow(workflow_id="w", ts_event=T0, steps=steps)


def strategy(**parameters: Any) -> TradingStrategy:
    return TradingStrategy("s1", "S", symbols=["AAPL"], parameters={"threshold": 0.02, **parameters})


def start(check_history: bool = False, **parameters: Any) -> StartStrategy:
    spec = strategy(**parameters).to_spec()
    return StartStrategy(
        workflow_id="w", ts_event=T0 - 5, strategy=spec, initial_cash=500.0, check_history=check_history
    )


def execute(execute: bool = False, **parameters: Any) -> ExecuteStrategy:
    return ExecuteStrategy(workflow_id="w", ts_event=T0 - 5, strategy=strategy(**parameters).to_spec(), execute=execute)


def done(step_id: str, attempt: int = 1, **result: Any) -> StepCompleted:
    return StepCompleted(workflow_id="w", step_id=step_id, attempt=attempt, result=result, ts_event=T0)


def broke(step_id: str, attempt: int = 1, retryable: bool = True) -> StepFailed:
    return StepFailed(
        workflow_id="w",
        step_id=step_id,
        attempt=attempt,
        error="no data",
        error_type="MissingData",
        retryable=retryable,
        ts_event=T0,
    )


class Driver:
    """Feed events into `advance` as its shell would."""

    def __init__(self, **context: Any) -> None:
        self.workflow: Workflow | None = None
        self.context = {"pools": POOLS, **context}
        self.sent: list[tuple[str, Message]] = []

    def feed(self, event: Event, now: int = T0, message_id: str = "") -> Advanced:
        named = timer_id("w", event.due) if isinstance(event, TimerDue) else derive_id(repr(event), "test")
        advanced = advance(self.workflow, event, Context(message_id=message_id or named, now=now, **self.context))
        self.workflow = advanced.workflow
        self.sent += advanced.messages
        return advanced

    @property
    def state(self) -> Workflow:
        assert self.workflow is not None
        return self.workflow

    def statuses(self) -> dict[str, str]:
        return {each.spec.step_id: each.status for each in self.state.steps}


def steps_sent(advanced: Advanced) -> list[RunStep]:
    return [message for _, message in advanced.messages if isinstance(message, RunStep)]


def names_sent(advanced: Advanced) -> list[str]:
    return [f"{each.step_id}#{each.attempt}" for each in steps_sent(advanced)]


def run_sent(advanced: Advanced) -> StrategyStarted:
    (run,) = [message for _, message in advanced.messages if isinstance(message, StrategyStarted)]
    return run


def by_id(advanced: Advanced) -> Mapping[str, Message]:
    return dict(advanced.messages)


LIMITS = RiskLimits(max_position_weight=0.5)
