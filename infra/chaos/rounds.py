"""Commands that keep the control plane at work: rounds of one evaluation for each partition of workflows."""

from __future__ import annotations

from collections.abc import Iterator

from infra.chaos.market import PARTITIONS, named
from orchestrator.recipes import execute_steps
from orchestrator.strategy import TradingStrategy
from schemas import ExecuteStrategy, ExecuteWorkflow

EVERY = 25
"""Slices between two rounds."""
TIMEOUT_S = 1800.0
"""Of a step: longer than any fault lasts, so that no second attempt makes up for an answer that was lost."""
_SYMBOLS = ["AAPL", "GOOGL", "IBM", "MSFT"]
_STRATEGY = TradingStrategy(
    strategy_id="chaos-evaluation",
    name="An evaluation on shipped daily bars",
    symbols=_SYMBOLS,
    parameters={"momentum_threshold": 0.01},
)


def regular_rounds(slices: int) -> list[int]:
    """Return after how many slices the regular rounds are due."""
    return list(range(EVERY, slices, EVERY))


def fault_round(seed: int, number: int) -> list[ExecuteWorkflow]:
    """Return the commands that go out as a fault strikes: every task of the control plane has work then."""
    return list(_round(f"chaos-{seed}-fault-{number}"))


def regular_round(seed: int, due: int) -> list[ExecuteWorkflow]:
    """Return the commands of the round after so many slices."""
    return list(_round(f"chaos-{seed}-slice-{due}"))


def _round(stem: str) -> Iterator[ExecuteWorkflow]:
    evaluation = ExecuteStrategy(
        workflow_id=stem, ts_event=0, strategy=_STRATEGY.to_spec(), start="2012-01-03", end="2012-12-31"
    )
    steps = tuple(step.model_copy(update={"timeout_s": TIMEOUT_S}) for step in execute_steps(evaluation))
    for partition in range(PARTITIONS):
        yield ExecuteWorkflow(workflow_id=named(stem, partition), ts_event=0, steps=steps)
