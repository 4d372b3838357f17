"""The user guide's code, as it stands there; only the lines that import are those of this project's packages."""

from __future__ import annotations

import ast
import asyncio
import inspect
from types import CodeType, SimpleNamespace
from typing import Any

import pytest

IMPORTS = "from orchestrator import FinAgentOrchestrator, TradingStrategy\n"

FIRST_STRATEGY = """
# Initialize orchestrator
orchestrator = FinAgentOrchestrator()
await orchestrator.initialize()

# Define a simple momentum strategy
strategy = TradingStrategy(
    strategy_id="my_first_strategy",
    name="Simple Momentum Strategy",
    description="Buy high momentum stocks",
    symbols=["AAPL", "GOOGL", "MSFT"],
    lookback_period=20,
    rebalance_frequency="daily",
    parameters={
        "momentum_threshold": 0.02,
        "position_size": 0.33
    }
)

# Execute the strategy
result = await orchestrator.execute_strategy(strategy)
print(f"Strategy execution result: {result}")
"""

BASIC_STRATEGY = """
async def basic_strategy_example():
    # Initialize orchestrator
    orchestrator = FinAgentOrchestrator()
    await orchestrator.initialize()
    
    # Define strategy
    strategy = TradingStrategy(
        strategy_id="momentum_001",
        name="Momentum Strategy",
        symbols=["AAPL", "GOOGL"],
        lookback_period=20,
        parameters={"threshold": 0.02}
    )
    
    # Execute strategy
    result = await orchestrator.execute_strategy(strategy)
    print(f"Generated {len(result['signals'])} signals")

# Run the example
asyncio.run(basic_strategy_example())
"""  # noqa: W293

MULTI_AGENT_WORKFLOW = """
async def multi_agent_workflow():
    orchestrator = FinAgentOrchestrator()
    await orchestrator.initialize()
    
    # Define complex workflow
    workflow = {
        "workflow_id": "multi_agent_example",
        "steps": [
            {
                "agent_pool": "data_agent_pool",
                "action": "fetch_market_data",
                "parameters": {"symbols": ["AAPL", "GOOGL"], "period": "1d"}
            },
            {
                "agent_pool": "alpha_agent_pool",
                "action": "generate_signals",
                "parameters": {"strategy_type": "momentum"}
            },
            {
                "agent_pool": "risk_agent_pool",
                "action": "assess_risk",
                "parameters": {"model": "var"}
            }
        ]
    }
    
    # Execute workflow
    result = await orchestrator.execute_workflow(workflow)
    return result
"""  # noqa: W293

MONITORING = """
async def monitoring_example():
    orchestrator = FinAgentOrchestrator()
    await orchestrator.initialize()
    
    # Start monitoring loop
    while True:
        # Check system health
        health = await orchestrator.get_health_status()
        print(f"System status: {health['status']}")
        
        # Check active strategies
        active_strategies = await orchestrator.get_active_strategies()
        print(f"Active strategies: {len(active_strategies)}")
        
        # Check performance metrics
        metrics = await orchestrator.get_performance_metrics()
        print(f"Current metrics: {metrics}")
        
        await asyncio.sleep(30)  # Check every 30 seconds
"""  # noqa: W293


def code(text: str) -> CodeType:
    return compile(IMPORTS + text, "user-guide.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def defined(text: str, **names: Any) -> dict[str, Any]:
    """Run a block of the guide and return its names; names: those that an earlier block gave it."""
    namespace: dict[str, Any] = {"asyncio": asyncio, **names}
    exec(code(text), namespace)
    return namespace


async def test_the_first_strategy(capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {}
    running = eval(code(FIRST_STRATEGY), namespace)
    assert inspect.iscoroutine(running)
    await running
    try:
        assert "Strategy execution result: {'strategy_id': 'my_first_strategy'" in capsys.readouterr().out
        result = namespace["result"]
        assert result["status"] == "completed"
        assert {signal["symbol"] for signal in result["signals"]} == {"AAPL", "GOOGL", "MSFT"}
        assert all(target["weight"] <= 0.33 for target in result["targets"])
        assert result["data"]["end"] == "2013-03-01"
    finally:
        await namespace["orchestrator"].shutdown()


def test_example_1_basic_strategy_execution(capsys: pytest.CaptureFixture[str]) -> None:
    defined(BASIC_STRATEGY)
    assert "Generated 2 signals\n" in capsys.readouterr().out


def test_example_2_multi_agent_workflow() -> None:
    result = asyncio.run(defined(MULTI_AGENT_WORKFLOW)["multi_agent_workflow"]())
    assert result["workflow_id"] == "multi_agent_example"
    assert result["status"] == "completed", result.get("error")
    fetched, signals, risk = result["results"].values()
    assert fetched["source"] == "sample:bokeh-sampledata"
    assert {signal["symbol"] for signal in signals["signals"]} == {"AAPL", "GOOGL"}
    assert risk["model"] == "var"
    assert risk["risk_metrics"]["var_95"] > 0


def test_example_5_real_time_monitoring(capsys: pytest.CaptureFixture[str]) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0.1)
        if len(slept) == 3:
            raise KeyboardInterrupt

    example = defined(MONITORING, asyncio=SimpleNamespace(sleep=sleep))["monitoring_example"]
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(example())
    said = capsys.readouterr().out
    assert slept == [30, 30, 30]
    assert said.count("Active strategies: 0") == said.count("System status: ") == 3
    assert said.count("'cpu_usage'") == 3
