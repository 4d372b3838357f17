"""Strategy templates end to end in one process: the guide's workflow, and each shipped strategy over 2012."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backtest import Backtest, BacktestPlan, run_backtest
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings
from orchestrator.strategy_file import load_strategy, strategy_from_template
from orchestrator.strategy_workflow import workflow_of
from orchestrator.wiring import pools_of
from tests.dataplane import sample

STRATEGIES = sorted((Path(__file__).parents[2] / "examples" / "strategies").glob("*.yaml"))

strategy_template = {
    "name": "Custom Momentum Strategy",
    "description": "Custom momentum strategy with risk management",
    "required_data": ["price_data", "volume_data", "volatility_data"],
    "parameters": {
        "lookback_period": {"type": "int", "default": 20, "min": 5, "max": 100},
        "signal_threshold": {"type": "float", "default": 0.02, "min": 0.01, "max": 0.1}
    },
    "workflow": [
        {"step": "fetch_data", "agent": "data_agent_pool"},
        {"step": "calculate_momentum", "agent": "alpha_agent_pool"},
        {"step": "assess_risk", "agent": "risk_agent_pool"},
        {"step": "optimize_execution", "agent": "transaction_cost_agent_pool"}
    ]
}  # fmt: skip
"""As the user guide has it."""


@pytest.fixture
async def orchestrator() -> AsyncIterator[FinAgentOrchestrator]:
    system = FinAgentOrchestrator(settings=Settings())
    await system.initialize()
    yield system
    await system.shutdown()


async def test_the_guides_template_runs_as_a_workflow(orchestrator: FinAgentOrchestrator) -> None:
    overrides = {"symbols": ["AAPL", "GOOGL"], "lookback_period": 30, "history_end": "2012-02-29"}
    result = await orchestrator.execute_workflow(workflow_of(strategy_from_template(strategy_template, overrides)))
    assert result["status"] == "completed"
    assert {"fetch_data", "calculate_momentum", "assess_risk", "optimize_execution"} <= result["results"].keys()
    _, slices = sample(["AAPL"], "2011-06-01", "2012-02-29")
    closes = [rows[0].close for rows in slices]
    signals = {each["symbol"]: each for each in result["results"]["calculate_momentum"]["signals"]}
    assert signals["AAPL"]["score"] == pytest.approx(closes[-1] / closes[-31] - 1, rel=1e-12)
    assert signals["AAPL"]["signal"] == "BUY"
    costs = result["results"]["optimize_execution"]
    assert (costs["orders"], costs["transaction_costs"]["total_cost"] > 0) == (1, True)
    assert result["results"]["assess_risk"]["risk_metrics"]["volatility"] > 0


async def test_the_guides_template_runs_as_a_strategy(orchestrator: FinAgentOrchestrator) -> None:
    strategy = strategy_from_template(strategy_template, {"symbols": ["AAPL", "GOOGL"]}).strategy
    result = await orchestrator.execute_strategy(strategy)
    assert result["status"] == "completed", result.get("error")
    assert {each["symbol"] for each in result["signals"]} == {"AAPL", "GOOGL"}


async def test_an_unknown_requirement_fails_the_fetch(orchestrator: FinAgentOrchestrator) -> None:
    parameters = {"symbols": ["AAPL"], "required_data": ["news_data"]}
    fetch = {"agent_pool": "data_agent_pool", "action": "fetch_data", "parameters": parameters}
    result = await orchestrator.execute_workflow({"steps": [fetch]})
    assert result["status"] == "failed"
    assert "Unknown required_data 'news_data'" in result["error"]


async def test_pairs_without_short_positions_fails_before_it_starts(orchestrator: FinAgentOrchestrator) -> None:
    pairs = load_strategy(STRATEGIES[0].with_name("pairs.yaml"), {"limits": {"allow_short": False}}).strategy
    result = await orchestrator.execute_strategy(pairs, execute=True)
    assert result["status"] == "failed"
    assert "pairs sells short: set limits.allow_short to true" in result["error"]


def traded(path: Path, **overrides: Any) -> Backtest:
    """Run a shipped strategy over 2012."""
    strategy, settings = load_strategy(path, overrides).strategy, Settings()
    instruments, slices = sample(strategy.symbols, "2012-01-03", "2012-12-31")

    async def rows() -> AsyncIterator[Any]:
        for each in slices:
            yield each

    plan = BacktestPlan(strategy, instruments, settings, "sample", 100_000.0)
    return asyncio.run(run_backtest(plan, rows(), pools_of(settings)))


@pytest.mark.parametrize("path", STRATEGIES, ids=lambda path: path.stem)
def test_each_shipped_strategy_trades_a_year(path: Path) -> None:
    done = traded(path)
    assert done.slices == 250
    assert done.fills
    # Purchases that need the proceeds of sales still at work; the next period asks for them again.
    assert {denial.code for denial in done.denials} <= {"INSUFFICIENT_CASH", "MAX_GROSS_EXPOSURE"}
    assert 50_000 < done.final_equity < 200_000


def test_buy_and_hold_trades_each_share_once() -> None:
    done = traded(STRATEGIES[0].with_name("buy_and_hold.yaml"))
    assert len(done.fills) == 4


def test_equal_weight_restores_its_weights_every_month() -> None:
    done = traded(STRATEGIES[0].with_name("equal_weight.yaml"))
    assert len({fill.ts_event for fill in done.fills}) == 12


def test_pairs_holds_both_sides() -> None:
    done = traded(STRATEGIES[0].with_name("pairs.yaml"))
    first = done.fills[:2]
    assert {fill.side for fill in first} == {"BUY", "SELL"}
    assert {fill.instrument_id for fill in first} == {"IBM.XNYS", "MSFT.XNAS"}
