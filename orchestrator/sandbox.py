"""The sandbox: scenarios that really run a strategy over historical data."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agents.data.feed import Row
from agents.data.fetch import Fetched, FetchParameters, fetch_first
from agents.data.slicing import bar_slices
from agents.data.sources import open_providers
from orchestrator.backtest import Backtest, BacktestPlan, run_backtest
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings
from orchestrator.strategy import TradingStrategy
from orchestrator.wiring import pools_of
from orchestrator.wording import problems, unknown
from streams.errors import ConfigError


class SandboxMode(StrEnum):
    """What a scenario does."""

    HISTORICAL_BACKTEST = "historical_backtest"
    """Replay history through the pools."""


@dataclass
class TestScenario:
    """A scenario as its author wrote it."""

    __test__ = False  # its name looks like a test's to pytest

    scenario_id: str
    name: str
    mode: SandboxMode
    parameters: dict[str, Any] = field(default_factory=dict)


class BacktestConfig(BaseModel):
    """Parameters of a historical backtest."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    symbols: tuple[str, ...] = Field(min_length=1)
    """Bare symbols or SYMBOL.VENUE."""
    start_date: dt.date | None = None
    """First session; None: the first there is."""
    end_date: dt.date | None = None
    """Last session, included; None: the last there is."""
    initial_capital: float | None = Field(default=None, gt=0)
    """Cash at the start; None: the configured one."""
    strategy_type: str = "momentum"
    """The model."""
    lookback_period: int = Field(default=20, ge=1)
    """History that a decision looks at, in bars."""
    rebalance_frequency: str = "daily"
    """How often targets are set."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the model and of portfolio construction."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start_date and self.end_date and self.end_date < self.start_date:
            raise ValueError(f"end_date {self.end_date} is before start_date {self.start_date}")
        return self

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> BacktestConfig:
        """Return the configuration in a dict; raise ConfigError that names what is wrong and the nearest key."""
        for key in values:
            if key not in cls.model_fields:
                raise ConfigError(f"Backtest: {unknown('key', str(key), cls.model_fields)}")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"Backtest: {problems(error)}") from error

    def strategy(self) -> TradingStrategy:
        """Return the strategy that is tested."""
        return TradingStrategy(
            strategy_id=self.strategy_type,
            name=self.strategy_type,
            symbols=list(self.symbols),
            lookback_period=self.lookback_period,
            rebalance_frequency=self.rebalance_frequency,
            parameters={"strategy_type": self.strategy_type, **self.parameters},
        )


class SandboxEnvironment:
    """Runs scenarios with an orchestrator's settings; config overrides BacktestConfig's defaults."""

    def __init__(self, orchestrator: FinAgentOrchestrator, config: Mapping[str, Any] | None = None) -> None:
        self._orchestrator = orchestrator
        self._defaults = dict(config or {})

    async def run_test_scenario(self, scenario: TestScenario) -> dict[str, Any]:
        """Run a scenario; return status and performance_metrics, and the manifest of what ran."""
        if scenario.mode is not SandboxMode.HISTORICAL_BACKTEST:
            raise ConfigError(
                f"Scenario {scenario.scenario_id!r}: {unknown('mode', str(scenario.mode), list(SandboxMode))}"
            )
        result = await self.run_backtest(scenario.parameters)
        return {"scenario_id": scenario.scenario_id, "name": scenario.name, "mode": scenario.mode.value, **result}

    async def run_backtest(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Backtest a strategy on the configured providers' daily bars; keys as BacktestConfig."""
        backtest = await self.backtest(config)
        return backtest.result()

    async def backtest(self, config: Mapping[str, Any]) -> Backtest:
        """Backtest, and return the orders, fills and equity too."""
        asked, settings = BacktestConfig.read({**self._defaults, **config}), self._orchestrator.settings
        fetched = fetch_first(open_providers(settings.data.providers), _fetch(asked))
        plan = plan_of(asked.strategy(), fetched, settings, asked.initial_capital)
        return await run_backtest(plan, slices_of(fetched), pools_of(settings, plan.fill))

    async def cleanup(self) -> None:
        """Release what scenarios hold; the orchestrator stays as it is."""


def plan_of(
    strategy: TradingStrategy, fetched: Fetched, settings: Settings, initial_cash: float | None = None
) -> BacktestPlan:
    """Return the plan for a strategy over fetched bars."""
    return BacktestPlan(
        strategy=strategy,
        instruments=fetched.instruments,
        settings=settings,
        source=fetched.note,
        initial_cash=settings.sandbox.initial_capital if initial_cash is None else initial_cash,
    )


async def slices_of(fetched: Fetched) -> AsyncIterator[Sequence[Row]]:
    """Yield fetched bars slice by slice."""
    for rows in bar_slices([bar for block in fetched.blocks for bar in block.bars()]):
        yield rows


def _fetch(asked: BacktestConfig) -> FetchParameters:
    return FetchParameters(
        symbols=asked.symbols, start=asked.start_date, end=asked.end_date, lookback=asked.lookback_period
    )
