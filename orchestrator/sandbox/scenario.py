"""A scenario as its author wrote it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class SandboxMode(StrEnum):
    """What a scenario does."""

    HISTORICAL_BACKTEST = "historical_backtest"
    """Replay history through the pools."""
    LIVE_SIMULATION = "live_simulation"
    """Feed history, paced, through the live path: feed, broker, orchestrator and all pools."""
    STRESS_TEST = "stress_test"
    """Run strategies on shocked data, beside their baseline and buy-and-hold."""
    AB_TEST = "ab_test"
    """Compare two strategies on the same data, paired by day."""
    MONTE_CARLO = "monte_carlo"
    """Run a strategy on many paths resampled from history."""


@dataclass
class TestScenario:
    """A scenario as its author wrote it."""

    __test__ = False  # its name looks like a test's to pytest

    scenario_id: str
    name: str
    mode: SandboxMode
    parameters: dict[str, Any] = field(default_factory=dict)
