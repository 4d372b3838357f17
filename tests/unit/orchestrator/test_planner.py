"""The DAG planner."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.planner import PoolInfo, ancestors, plan, workflow_from_dict
from orchestrator.strategy import TradingStrategy
from schemas import ExecuteStrategy, ExecuteWorkflow, StartStrategy, StepSpec
from streams.errors import ConfigError, UnknownAction, UnknownPool, WorkflowError

POOLS = {
    name: PoolInfo(name, frozenset(actions))
    for name, actions in {
        "data_agent_pool": ("fetch_market_data", "resolve_instruments"),
        "alpha_agent_pool": ("generate_signals",),
        "risk_agent_pool": ("assess_risk",),
        "portfolio_agent_pool": ("construct_targets",),
        "transaction_cost_agent_pool": ("estimate_execution_cost",),
    }.items()
} | {"remote": PoolInfo("remote"), "off": PoolInfo("off", enabled=False)}
PARAMETERS = {"threshold": 0.02, "strategy_type": "ema", "initial_cash": 5000.0}
SPEC = TradingStrategy("s1", "S", symbols=["AAPL", "MSFT"], lookback_period=9, parameters=PARAMETERS).to_spec()


def step(step_id: str, *depends_on: str, pool: str = "remote", action: str = "do") -> StepSpec:
    return StepSpec(step_id=step_id, agent_pool=pool, action=action, depends_on=depends_on)


def workflow(*steps: StepSpec) -> ExecuteWorkflow:
    return ExecuteWorkflow(workflow_id="w", ts_event=1, steps=steps)


def ids(steps: tuple[StepSpec, ...]) -> list[str]:
    return [each.step_id for each in steps]


def test_dag_planner_initialization() -> None:
    assert ids(plan(workflow(step("only")), {"remote": PoolInfo("remote")})) == ["only"]


def test_order_is_topological_and_ties_keep_the_listing() -> None:
    given = workflow(step("z"), step("d", "b", "c"), step("c", "z"), step("b", "z"), step("a"))
    assert ids(plan(given, POOLS)) == ["z", "c", "b", "d", "a"]


def test_an_execution_evaluates_in_parallel_branches() -> None:
    command = ExecuteStrategy(workflow_id="w", ts_event=7, strategy=SPEC, start="2012-01-03", end="2012-12-31")
    steps = {each.step_id: each for each in plan(command, POOLS)}
    assert list(steps) == ["fetch_data", "generate_signals", "assess_risk", "construct_targets", "estimate_cost"]
    assert {name: set(each.depends_on) for name, each in steps.items()} == {
        "fetch_data": set(),
        "generate_signals": {"fetch_data"},
        "assess_risk": {"fetch_data"},
        "construct_targets": {"generate_signals", "fetch_data"},
        "estimate_cost": {"construct_targets", "fetch_data"},
    }
    assert steps["fetch_data"].parameters == {
        "symbols": ["AAPL", "MSFT"],
        "start": "2012-01-03",
        "end": "2012-12-31",
        "interval": "1d",
        "lookback": 9,
    }
    assert steps["generate_signals"].parameters == {
        "strategy_type": "ema",
        "lookback_period": 9,
        "parameters": {"threshold": 0.02},
    }
    assert steps["assess_risk"].parameters == {"model": "var"}
    assert steps["construct_targets"].parameters == {"parameters": {"threshold": 0.02}}


def test_an_execution_with_orders_ends_in_one_shot_run() -> None:
    steps = plan(ExecuteStrategy(workflow_id="w", ts_event=7, strategy=SPEC, execute=True), POOLS)
    last = steps[-1]
    assert (last.agent_pool, last.action, last.parameters["once"]) == ("orchestrator", "start_run", True)
    assert set(last.depends_on) == set(ids(steps[:-1]))


@pytest.mark.parametrize("check_history", [True, False])
def test_a_start_leads_to_a_run(check_history: bool) -> None:
    command = StartStrategy(
        workflow_id="w", ts_event=7, strategy=SPEC, initial_cash=100.0, account_id="shared", check_history=check_history
    )
    steps = plan(command, POOLS)
    assert steps[0].step_id == ("fetch_data" if check_history else "resolve_instruments")
    assert len(steps) == (6 if check_history else 2)
    assert steps[-1].parameters == {
        "strategy_id": "s1",
        "lookback_period": 9,
        "rebalance_frequency": "daily",
        "parameters": PARAMETERS,
        "once": False,
        "initial_cash": 100.0,
        "account_id": "shared",
        "ts_event": 7,
    }


@pytest.mark.parametrize(
    ("steps", "error", "said"),
    [
        (
            [step("a", "c"), step("b", "a"), step("c", "b"), step("d")],
            WorkflowError,
            "cycle: (a -> b -> c|b -> c|c ->)",
        ),
        ([step("a", "a")], WorkflowError, "cycle: a -> a"),
        ([step("a"), step("b"), step("a")], WorkflowError, "repeated: a"),
        ([step("load"), step("b", "laod")], WorkflowError, "'b' depends on an unknown step 'laod', nearest is 'load'"),
        ([step("a", pool="data_pool")], UnknownPool, "'a'.*'data_pool', nearest is 'data_agent_pool'"),
        ([step("a", pool="off")], UnknownPool, "'a': pool 'off' is disabled"),
        ([step("a", pool="risk_agent_pool", action="assess")], UnknownAction, "'a'.*'assess'.*assess_risk"),
        ([step("a", pool="orchestrator", action="stop_run")], UnknownAction, "start_run"),
        (
            [step(each, pool="orchestrator", action="start_run") for each in "ab"],
            WorkflowError,
            "one orchestrator.start_run",
        ),
    ],
)
def test_what_cannot_run_is_named(steps: list[StepSpec], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        plan(workflow(*steps), POOLS)


def test_ancestors_are_all_transitive_dependencies() -> None:
    steps = [step("a"), step("b", "a"), step("x"), step("c", "b"), step("d", "c", "x")]
    assert ancestors(steps, "c") == ("a", "b")
    assert ancestors(steps, "d") == ("a", "b", "x", "c")
    assert ancestors(steps, "a") == ()


GUIDE: dict[str, Any] = {
    "workflow_id": "multi_agent_example",
    "steps": [
        {
            "agent_pool": "data_agent_pool",
            "action": "fetch_market_data",
            "parameters": {"symbols": ["AAPL", "GOOGL"], "period": "1d"},
        },
        {
            "agent_pool": "alpha_agent_pool",
            "action": "generate_signals",
            "parameters": {"strategy_type": "momentum"},
        },
        {"agent_pool": "risk_agent_pool", "action": "assess_risk", "parameters": {"model": "var"}},
    ],
}


def test_the_guides_workflow_is_a_chain() -> None:
    command = workflow_from_dict(GUIDE, 5)
    assert (command.workflow_id, command.ts_event) == ("multi_agent_example", 5)
    assert ids(command.steps) == ["1_fetch_market_data", "2_generate_signals", "3_assess_risk"]
    assert [each.depends_on for each in command.steps] == [(), ("1_fetch_market_data",), ("2_generate_signals",)]
    assert ids(plan(command, POOLS)) == ids(command.steps)


def test_the_guides_template_steps_act_by_name() -> None:
    template = [{"step": "fetch_data", "agent": "data_agent_pool"}, {"step": "assess_risk", "agent": "risk_agent_pool"}]
    steps = workflow_from_dict({"steps": template}, 5, workflow_id="t").steps
    assert [(each.step_id, each.agent_pool, each.action) for each in steps] == [
        ("fetch_data", "data_agent_pool", "fetch_data"),
        ("assess_risk", "risk_agent_pool", "assess_risk"),
    ]


def test_an_empty_list_makes_a_step_independent() -> None:
    steps = [
        {"step_id": "a", "agent_pool": "p", "action": "x", "timeout_s": 2, "max_attempts": 1},
        {"step": "b", "agent_pool": "p", "action": "y", "depends_on": []},
        {"agent_pool": "p", "action": "z", "depends_on": ["a", "b"]},
    ]
    parsed = workflow_from_dict({"workflow_id": "w", "steps": steps}, 5).steps
    assert [(each.step_id, each.depends_on) for each in parsed] == [("a", ()), ("b", ()), ("3_z", ("a", "b"))]
    assert (parsed[0].timeout_s, parsed[0].max_attempts) == (2.0, 1)


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ({"workflow_id": "w", "stps": []}, "unknown key 'stps', nearest is 'steps'"),
        ({"workflow_id": "w", "steps": [{"agentpool": "p", "action": "x"}]}, "Step 1.*nearest is 'agent_pool'"),
        ({"workflow_id": "w", "steps": []}, "empty"),
        ({"workflow_id": "w", "steps": "abc"}, "must be a list"),
        ({"workflow_id": "w", "steps": ["abc"]}, "Step 1: expected a dict"),
        ({"steps": [{"agent": "p", "action": "x"}]}, "workflow_id is missing"),
        ({"workflow_id": 5, "steps": [{"agent": "p", "action": "x"}]}, "workflow_id.*got 5"),
        ({"workflow_id": "w", "steps": [{"action": "x"}]}, "'1_x': agent_pool"),
        ({"workflow_id": "w", "steps": [{"agent": "p", "agent_pool": "p"}]}, "agent_pool or agent, not both"),
        ({"workflow_id": "w", "steps": [{"agent": "p", "action": "x", "depends_on": "ab"}]}, "depends_on.*got 'ab'"),
        ({"workflow_id": "w", "steps": [{"agent": "p", "action": "x", "parameters": 4}]}, "parameters must be a dict"),
        ({"workflow_id": "w", "steps": [{"agent": "p", "action": "x", "parameters": {"f": open}}]}, "no JSON"),
        ({"workflow_id": "w", "steps": [{"agent": "p", "action": "x", "timeout_s": 0}]}, "timeout_s.*got 0"),
    ],
)
def test_a_wrong_definition_is_named(definition: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        workflow_from_dict(definition, 5)
