"""The environment that programs use: scenarios with an orchestrator's settings and data."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from agents.data.fetch import Fetched, FetchParameters, fetch_first
from agents.data.sources import open_providers
from orchestrator.backtest import Backtest
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.sandbox.ab_test import run_ab
from orchestrator.sandbox.config import (
    AbConfig,
    BacktestConfig,
    Config,
    LiveConfig,
    MonteCarloConfig,
    StrategyConfig,
    StressConfig,
    known,
)
from orchestrator.sandbox.live import run_live
from orchestrator.sandbox.monte_carlo import run_monte_carlo
from orchestrator.sandbox.period import held_by_all
from orchestrator.sandbox.scenario import SandboxMode, TestScenario
from orchestrator.sandbox.shocks import shock_of
from orchestrator.sandbox.stress import Closes, closes_of, run_stress
from orchestrator.sandbox.trial import Trial, following, plan_of, rows_of
from orchestrator.settings import Settings
from orchestrator.study import Study, study
from orchestrator.wording import unknown
from streams.errors import ConfigError

C = TypeVar("C", bound=Config)
RECENT_DAYS = 730
"""Calendar days before the last session that run_stress_test begins with where nothing names a start."""


def check_enabled(settings: Settings) -> None:
    """Raise ConfigError where the settings refuse scenarios."""
    if not settings.orchestrator.enable_sandbox:
        raise ConfigError("the sandbox is off: orchestrator.enable_sandbox is false, so no scenario or backtest runs")


@dataclass(frozen=True)
class _Prepared:
    """Data, and the strategies that run on them."""

    fetched: Fetched
    trials: tuple[Trial, ...]


class SandboxEnvironment:
    """Runs scenarios with an orchestrator's settings; config overrides the defaults of their parameters."""

    def __init__(self, orchestrator: FinAgentOrchestrator, config: Mapping[str, Any] | None = None) -> None:
        self._orchestrator = orchestrator
        self._defaults = dict(config or {})
        known(self._defaults, Config)

    async def run_test_scenario(self, scenario: TestScenario) -> dict[str, Any]:
        """Run a scenario; return status, performance_metrics, its mode's section and the manifest of what ran."""
        runs = {
            SandboxMode.HISTORICAL_BACKTEST: self.run_backtest,
            SandboxMode.LIVE_SIMULATION: self.run_live_simulation,
            SandboxMode.STRESS_TEST: self._run_stress,
            SandboxMode.AB_TEST: self.run_ab_test,
            SandboxMode.MONTE_CARLO: self.run_monte_carlo,
        }
        mode = str(scenario.mode)
        if mode not in runs:
            raise ConfigError(
                f"Scenario {scenario.scenario_id!r}: {unknown('mode', mode, [each.value for each in SandboxMode])}"
            )
        result = await runs[SandboxMode(mode)](scenario.parameters)
        return {"scenario_id": scenario.scenario_id, "name": scenario.name, "mode": mode, **result}

    async def run_backtest(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Backtest a strategy on the configured providers' daily bars; keys as BacktestConfig."""
        backtest = await self.backtest(config)
        return self._told(self._read(BacktestConfig, config), backtest.result())

    async def backtest(self, config: Mapping[str, Any]) -> Backtest:
        """Backtest, and return the orders, fills and equity too."""
        asked = self._read(BacktestConfig, config)
        ready = self._prepared(asked, asked.strategies_asked())
        (trial,) = ready.trials
        return await asyncio.to_thread(trial.run, rows_of(ready.fetched))

    async def study(self, config: Mapping[str, Any], *, seed: int = 0) -> Study:
        """Backtest with benchmarks, cost multiples and intervals, as a report shows them; keys as BacktestConfig."""
        asked = self._read(BacktestConfig, config)
        ready = self._prepared(asked, asked.strategies_asked())
        (trial,) = ready.trials
        rows = rows_of(ready.fetched)
        return await study(
            trial.plan, lambda: following(rows), lambda plan: replace(trial, plan=plan).pools(), seed=seed
        )

    async def run_live_simulation(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Trade history, paced, through the live path in a system of its own; keys as LiveConfig."""
        asked = self._read(LiveConfig, config)
        ready = self._prepared(asked, asked.strategies_asked())
        return self._told(asked, await run_live(ready.trials[0], rows_of(ready.fetched), asked))

    async def run_stress_test(self, scenario: str, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Run a shock by name; keys as StressConfig. Where nothing names a start, the last two years are taken."""
        shock, given = shock_of(scenario), {**(config or {}), "stress_scenarios": [scenario]}
        settings = self._orchestrator.settings
        if not settings.sandbox.data_start_date and "start_date" not in {**self._defaults, **given}:
            asked = self._read(StressConfig, given)
            held = held_by_all(open_providers(settings.data.providers), asked.symbols)
            last = asked.end_date or (held[1] if held else None)
            if held and last:
                given["start_date"] = max(held[0], last - dt.timedelta(days=RECENT_DAYS))
        names = {"scenario_id": scenario, "name": shock.title, "mode": SandboxMode.STRESS_TEST.value}
        return {**names, **await self._run_stress(given)}

    async def _run_stress(self, config: Mapping[str, Any]) -> dict[str, Any]:
        asked = self._read(StressConfig, config)
        ready = self._prepared(asked, asked.strategies_asked())
        benchmark = self._closes(asked, asked.benchmark) if asked.benchmark else None
        result = await asyncio.to_thread(run_stress, ready.trials, rows_of(ready.fetched), asked, benchmark)
        return self._told(asked, result)

    async def run_ab_test(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Compare two strategies on the same data; keys as AbConfig."""
        asked = self._read(AbConfig, config)
        ready = self._prepared(asked, asked.strategies_asked())
        a, b = ready.trials
        return self._told(asked, await asyncio.to_thread(run_ab, a, b, rows_of(ready.fetched), asked))

    async def run_monte_carlo(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Run a strategy on resampled paths; keys as MonteCarloConfig."""
        asked = self._read(MonteCarloConfig, config)
        ready = self._prepared(asked, asked.strategies_asked())
        trial, rows = ready.trials[0], rows_of(ready.fetched)
        return self._told(asked, await asyncio.to_thread(run_monte_carlo, trial, rows, asked))

    async def cleanup(self) -> None:
        """Release what scenarios hold: nothing outlives its scenario, and the orchestrator stays as it is."""

    def _read(self, config: type[C], given: Mapping[str, Any]) -> C:
        check_enabled(self._orchestrator.settings)
        return config.read({**known(self._defaults, config), **given})

    def _prepared(self, asked: Config, strategies: tuple[StrategyConfig, ...]) -> _Prepared:
        fetched, settings = self._fetched(asked, asked.symbols), self._orchestrator.settings
        alphas = tuple(pool for pool in self._orchestrator.registered if pool.role == "alpha")
        return _Prepared(
            fetched,
            tuple(
                Trial(
                    each.name or each.strategy_type,
                    plan_of(each.strategy(asked.symbols), fetched, settings, asked.initial_capital),
                    registered=alphas,
                )
                for each in strategies
            ),
        )

    def _fetched(self, asked: Config, symbols: tuple[str, ...]) -> Fetched:
        settings = self._orchestrator.settings
        providers = open_providers(settings.data.providers)
        start = asked.start_date
        if start is None and settings.sandbox.data_start_date:
            start = dt.date.fromisoformat(settings.sandbox.data_start_date)
        if start is None and (held := held_by_all(providers, asked.symbols)):
            start = held[0]
        return fetch_first(providers, FetchParameters(symbols=symbols, start=start, end=asked.end_date))

    def _closes(self, asked: Config, symbol: str) -> tuple[str, Closes]:
        fetched = self._fetched(asked, (symbol,))
        return symbol, closes_of(rows_of(fetched))

    def _told(self, asked: Config, result: dict[str, Any]) -> dict[str, Any]:
        """Say in the manifest which parameters were given, and which are defaults."""
        # How many processes worked does not show in the result.
        every = asked.model_dump(mode="json", exclude={"workers"})
        result["manifest"]["parameters"] = {
            "given": {key: value for key, value in every.items() if key in asked.model_fields_set},
            "defaults": {key: value for key, value in every.items() if key not in asked.model_fields_set},
        }
        return result
