"""Strategies and workflows from files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.cli.definition import Asked, command_of, read_definition
from schemas import ExecuteStrategy, ExecuteWorkflow, StartStrategy
from streams.errors import ConfigError
from tests.unit.infra.conftest import Run

EXAMPLES = Path(__file__).parents[3] / "examples"
STRATEGY = "strategy_id: trend\nname: Trend\nsymbols: [AAPL]\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "definition.yaml"
    path.write_text(text)
    return path


def test_the_example_strategy_is_evaluated_in_this_process(run: Run) -> None:
    ran = run("submit", str(EXAMPLES / "momentum.yaml"), "--json")
    result = json.loads(ran.out)
    assert ran.code == 0
    assert result["status"] == "completed"
    assert {each["symbol"]: each["signal"] for each in result["signals"]} == {
        "AAPL": "BUY",
        "GOOGL": "SELL",
        "IBM": "SELL",
        "MSFT": "BUY",
    }
    assert {"strategy_id", "execution_time", "risk_metrics", "transaction_costs", "data", "timestamp"} <= result.keys()


def test_the_example_workflow_tells_each_step(run: Run) -> None:
    ran = run("submit", str(EXAMPLES / "workflow.yaml"))
    assert ran.code == 0
    lines = [line.split()[:2] for line in ran.out.splitlines()]
    assert lines[3:6] == [["fetch", "completed"], ["signals", "completed"], ["risk", "completed"]]


def test_a_strategy_that_fails_says_why_and_is_code_1(run: Run, tmp_path: Path) -> None:
    ran = run("submit", str(written(tmp_path, STRATEGY.replace("AAPL", "NOPE"))))
    assert ran.code == 1
    assert ran.err.splitlines()[-1].startswith("error: Step 'fetch_data'")
    assert "'NOPE'" in ran.err


@pytest.mark.parametrize("option", ["--start", "--execute", "--no-wait"])
def test_what_outlives_the_command_needs_kafka(run: Run, option: str) -> None:
    ran = run("submit", str(EXAMPLES / "momentum.yaml"), option)
    assert (ran.code, "needs Kafka" in ran.err) == (1, True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (STRATEGY + "lookback: 3", "unknown key 'lookback', nearest is 'lookback_period'"),
        ("name: Trend", "a strategy needs strategy_id, symbols"),
        (STRATEGY + "initial_cash: -1", "initial_cash: Input should be greater than 0, got -1"),
        (STRATEGY + "rebalance_frequency: hourly", "unknown rebalance_frequency 'hourly'"),
        ("[1, 2]", "expected a strategy or a workflow"),
        ("a: [", "no YAML"),
    ],
)
def test_a_wrong_definition_names_the_file_and_the_key(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        read_definition(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert words in str(raised.value)


def test_run_options_reach_the_command(tmp_path: Path) -> None:
    options = "initial_cash: 5000\naccount_id: shared\nhistory_end: 2012-02-29\ncheck_history: false\n"
    definition = read_definition(written(tmp_path, STRATEGY + options))
    start = command_of(definition, Asked(start=True), 7, 1e6)
    assert isinstance(start, StartStrategy)
    assert (start.initial_cash, start.account_id, start.end, start.check_history, start.ts_event) == (
        5000.0,
        "shared",
        "2012-02-29",
        False,
        7,
    )
    once = command_of(definition, Asked(execute=True), 7, 1e6)
    assert isinstance(once, ExecuteStrategy)
    assert (once.execute, once.end, once.strategy.parameters) == (True, "2012-02-29", {"initial_cash": 5000.0})
    assert once.workflow_id.startswith("trend-")
    assert once.workflow_id != start.workflow_id


def test_without_initial_cash_the_configured_capital_is_deposited(tmp_path: Path) -> None:
    start = command_of(read_definition(written(tmp_path, STRATEGY)), Asked(start=True), 7, 250_000.0)
    assert isinstance(start, StartStrategy)
    assert start.initial_cash == 250_000.0


def test_start_and_execute_exclude_each_other_and_a_workflow(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not both"):
        command_of(read_definition(written(tmp_path, STRATEGY)), Asked(start=True, execute=True), 7, 1e6)
    workflow = read_definition(EXAMPLES / "workflow.yaml")
    with pytest.raises(ConfigError, match="the file defines a workflow"):
        command_of(workflow, Asked(start=True), 7, 1e6)


def test_a_workflow_keeps_its_id_and_its_dates_are_texts(tmp_path: Path) -> None:
    text = "workflow_id: mine\nsteps: [{agent_pool: data_agent_pool, action: fetch, parameters: {start: 2012-01-03}}]"
    command = command_of(read_definition(written(tmp_path, text)), Asked(), 7, 1e6)
    assert isinstance(command, ExecuteWorkflow)
    assert (command.workflow_id, command.steps[0].parameters) == ("mine", {"start": "2012-01-03"})
