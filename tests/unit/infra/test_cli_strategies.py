"""Strategy templates and pools of one's own on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.cli.definition import Asked, command_of, overrides_of, read_definition
from schemas import ExecuteStrategy, ExecuteWorkflow
from streams.errors import ConfigError
from tests.unit.infra.conftest import Run

STRATEGIES = Path(__file__).parents[3] / "examples" / "strategies"
WORKFLOW = "name: T\nsymbols: [AAPL]\nworkflow: [{step: fetch_data, agent: data_agent_pool}]\n"


def test_set_replaces_parameters_within_their_range(run: Run) -> None:
    path = str(STRATEGIES / "sma_cross.yaml")
    ran = run("submit", path, "--set", "fast=5", "--set", "symbols=[IBM]", "--set", "history_end=2012-06-29", "--json")
    result = json.loads(ran.out)
    assert (result["data"]["end"], [each["symbol"] for each in result["signals"]]) == ("2012-06-29", ["IBM"])
    ran = run("submit", path, "--set", "slow=300")
    assert (ran.code, "Parameter 'slow' = 300: expected an int from 2 to 250" in ran.err) == (1, True)


def test_values_are_yaml() -> None:
    given = overrides_of(["a=1", "b=0.5", "c=[x, y]", "d=true", "e=text", "f=2012-01-03", "g=a=b"])
    expected = {"a": 1, "b": 0.5, "c": ["x", "y"], "d": True, "e": "text", "f": "2012-01-03", "g": "a=b"}
    assert given == expected
    with pytest.raises(ConfigError, match="--set 'top': expected KEY=VALUE"):
        overrides_of(["top"])
    with pytest.raises(ConfigError, match="--set a: no YAML"):
        overrides_of(["a=["])


def test_a_templates_workflow_runs_unless_the_strategy_is_to_trade(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(WORKFLOW)
    assert isinstance(command_of(read_definition(path), Asked(), 7, 1e6), ExecuteWorkflow)
    assert isinstance(command_of(read_definition(path), Asked(execute=True), 7, 1e6), ExecuteStrategy)


def test_set_is_not_for_workflows(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("steps: [{agent_pool: data_agent_pool, action: fetch_data}]")
    with pytest.raises(ConfigError, match="--set is for a strategy"):
        read_definition(path, {"top": 1})


def test_a_pool_of_ones_own_is_submitted_by_its_module(run: Run) -> None:
    ran = run("submit", "examples.custom_pool:pool", "--set", "symbols=[AAPL]", "--set", "window=5", "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["strategy_id"] == "breakout"
