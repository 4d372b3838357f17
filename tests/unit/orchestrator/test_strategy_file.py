"""Strategies from files, template dicts and modules."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.data.fetch import FetchParameters, fetch
from agents.data.requirements import check_required, columns_of
from agents.data.sources import SampleProvider
from examples import custom_pool
from orchestrator.recipes import execute_steps
from orchestrator.strategy import TradingStrategy
from orchestrator.strategy_file import load_strategy, strategy_from_dict, strategy_from_template
from orchestrator.strategy_workflow import workflow_of
from schemas import ExecuteStrategy
from streams.errors import ConfigError, MissingData

STRATEGIES = Path(__file__).parents[3] / "examples" / "strategies"
GUIDE: dict[str, Any] = {
    "name": "Custom Momentum Strategy",
    "description": "Custom momentum strategy with risk management",
    "required_data": ["price_data", "volume_data", "volatility_data"],
    "parameters": {
        "lookback_period": {"type": "int", "default": 20, "min": 5, "max": 100},
        "signal_threshold": {"type": "float", "default": 0.02, "min": 0.01, "max": 0.1},
    },
    "workflow": [
        {"step": "fetch_data", "agent": "data_agent_pool"},
        {"step": "calculate_momentum", "agent": "alpha_agent_pool"},
        {"step": "assess_risk", "agent": "risk_agent_pool"},
        {"step": "optimize_execution", "agent": "transaction_cost_agent_pool"},
    ],
}
PLAIN: dict[str, Any] = {"strategy_id": "p", "name": "P", "symbols": ["AAPL"]}
TEMPLATE: dict[str, Any] = {"name": "T", "symbols": ["AAPL"], "strategy_type": "momentum"}
BREAKOUT = "examples.custom_pool:pool"

template_dict = GUIDE
plain_strategy = TradingStrategy("own", "Own", symbols=["IBM"], parameters={"threshold": 0.05})
number = 7


def declared(**specs: Any) -> dict[str, Any]:
    """Return a template of a pool that takes any parameter."""
    return {"name": "T", "symbols": ["AAPL"], "pool": BREAKOUT, "parameters": specs}


class TestTemplates:
    def test_the_guides_template_is_a_strategy_with_its_defaults(self) -> None:
        loaded = strategy_from_template(GUIDE, {"symbols": ["AAPL", "MSFT"]})
        strategy = loaded.strategy
        assert (strategy.strategy_id, strategy.symbols) == ("custom_momentum_strategy", ["AAPL", "MSFT"])
        assert (strategy.lookback_period, strategy.parameters["signal_threshold"]) == (20, 0.02)
        assert loaded.required_data == ("price_data", "volume_data", "volatility_data")
        assert [step["step"] for step in loaded.workflow or ()] == [step["step"] for step in GUIDE["workflow"]]
        assert loaded.declared["lookback_period"].max == 100

    def test_it_loads_without_symbols_and_asks_for_them_when_it_is_used(self) -> None:
        loaded = strategy_from_template(GUIDE)
        with pytest.raises(ConfigError, match="symbols is empty, expected at least one"):
            workflow_of(loaded)

    def test_overrides_replace_defaults(self) -> None:
        loaded = strategy_from_template(GUIDE, {"lookback_period": 30, "signal_threshold": 0.05, "symbols": ["IBM"]})
        assert (loaded.strategy.lookback_period, loaded.strategy.parameters["signal_threshold"]) == (30, 0.05)

    @pytest.mark.parametrize(
        ("overrides", "words"),
        [
            ({"lookback_period": 101}, "Parameter 'lookback_period' = 101: expected an int from 5 to 100"),
            ({"lookback_period": 4}, "expected an int from 5 to 100"),
            ({"lookback_period": 30.0}, "'lookback_period' = 30.0: expected an int"),
            ({"lookback_period": True}, "'lookback_period' = True: expected an int"),
            ({"lookback_period": "30"}, "'lookback_period' = '30': expected an int"),
            ({"signal_threshold": 0.2}, "'signal_threshold' = 0.2: expected a float from 0.01 to 0.1"),
            ({"signal_threshold": float("nan")}, "'signal_threshold' = nan: expected a float"),
            ({"lookback_perod": 30}, "unknown parameter 'lookback_perod', nearest is 'lookback_period'"),
            ({"limits": 3}, "limits must be a dict, got 3"),
            ({"initial_cash": -1}, "initial_cash: Input should be greater than 0"),
        ],
    )
    def test_overrides_are_held_against_type_and_range(self, overrides: dict[str, Any], words: str) -> None:
        with pytest.raises(ConfigError) as raised:
            strategy_from_template(GUIDE, overrides)
        assert words in str(raised.value)

    @pytest.mark.parametrize(
        ("spec", "good", "bad", "words"),
        [
            ({"type": "float", "min": 1}, 2, 0.5, "a float of at least 1"),
            ({"type": "float", "max": 1}, 0.5, 2.0, "a float of at most 1"),
            ({"type": "str", "choices": ["a", "b"]}, "b", "c", "one of ('a', 'b')"),
            ({"type": "bool"}, True, 1, "a bool"),
            ({"type": "str"}, "x", 1, "a str"),
            ({"type": "list"}, [1, "x"], "x", "a list"),
            ({"type": "list", "choices": [1, 2]}, [2, 1], [3], "a list of some of (1, 2)"),
        ],
    )
    def test_every_type_says_what_it_expects(self, spec: dict[str, Any], good: Any, bad: Any, words: str) -> None:
        assert strategy_from_dict(declared(x=spec), {"x": good}).strategy.parameters["x"] == good
        with pytest.raises(ConfigError) as raised:
            strategy_from_dict(declared(x=spec), {"x": bad})
        assert f"'x' = {bad!r}: expected {words}" in str(raised.value)

    def test_a_parameter_without_default_must_be_given(self) -> None:
        with pytest.raises(ConfigError, match="'x' has no default: give an int of at least 1"):
            strategy_from_dict(declared(x={"type": "int", "min": 1}))

    @pytest.mark.parametrize(
        ("spec", "words"),
        [
            ({"type": "integer", "default": 1}, "Parameter 'x': type: Input should be 'int'"),
            ({"type": "int", "default": 1, "minimum": 0}, "Parameter 'x': unknown key 'minimum', nearest is 'min'"),
            ({"type": "int", "default": 1, "min": 5}, "default 1 is not an int of at least 5"),
            ({"type": "int", "default": "1"}, "default '1' is not an int"),
            ({"type": "int", "min": 5, "max": 2}, "min 5 lies above max 2"),
            ({"type": "str", "min": 5}, "min and max are for int and float, not for str"),
        ],
    )
    def test_a_wrong_declaration_names_the_parameter(self, spec: dict[str, Any], words: str) -> None:
        with pytest.raises(ConfigError) as raised:
            strategy_from_dict(declared(x=spec))
        assert words in str(raised.value)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"required": []}, "unknown key 'required', nearest is 'required_data'"),
            ({"required_data": ["prices"]}, "Unknown required_data 'prices', did you mean 'price_data'?"),
            ({"strategy_type": "momentun"}, "'momentun', did you mean 'momentum'"),
            ({"parameters": {"entry_z": 1}}, "Unknown parameter 'entry_z' = 1"),
            ({"parameters": [1]}, "parameters must be a dict, got [1]"),
            ({"limits": {"allow_shorts": True}}, "unknown limit 'allow_shorts', nearest is 'allow_short'"),
            ({"limits": {"max_daily_loss": 2}}, "limits: max_daily_loss"),
            ({"workflow": [{"stop": "x"}]}, "Step 1: unknown key 'stop', nearest is 'step'"),
            ({"lookback_period": 5, "parameters": {"lookback_period": 6}}, "lookback_period stands beside"),
            ({"parameters": {"strategy_type": "pairs"}}, "strategy_type is 'momentum', and 'pairs' among"),
            ({"strategy_type": "mean_reversion", "lookback_period": 1}, "lookback_period = 1"),
            ({"rebalance_frequency": "hourly"}, "unknown rebalance_frequency 'hourly'"),
        ],
    )
    def test_a_wrong_template_names_the_key(self, changes: dict[str, Any], words: str) -> None:
        with pytest.raises(ConfigError) as raised:
            strategy_from_dict({**TEMPLATE, **changes})
        assert words in str(raised.value)

    def test_a_template_needs_a_name(self) -> None:
        with pytest.raises(ConfigError, match="a strategy template needs name"):
            strategy_from_dict({"strategy_type": "momentum"})


class TestPlainForm:
    def test_fields_are_those_of_a_strategy(self) -> None:
        document = {**PLAIN, "lookback_period": 5, "parameters": {"threshold": 0.1}, "history_end": "2012-02-29"}
        loaded = strategy_from_dict(document)
        assert loaded.strategy == TradingStrategy(
            "p", "P", symbols=["AAPL"], lookback_period=5, parameters={"threshold": 0.1}
        )
        assert loaded.run.history_end == "2012-02-29"

    def test_overrides_reach_fields_and_the_models_parameters(self) -> None:
        loaded = strategy_from_dict(PLAIN, {"lookback_period": 7, "top": 1, "limits": {"allow_short": True}})
        assert loaded.strategy.lookback_period == 7
        assert loaded.strategy.parameters == {"top": 1, "limits": {"allow_short": True}}
        with pytest.raises(ConfigError, match="unknown parameter 'tops', nearest is 'top'"):
            strategy_from_dict(PLAIN, {"tops": 1})
        with pytest.raises(ConfigError, match="'top' = 0"):
            strategy_from_dict(PLAIN, {"top": 0})


class TestModules:
    def test_a_file_may_name_a_pool_of_ones_own(self, tmp_path: Path) -> None:
        path = tmp_path / "own.yaml"
        path.write_text(
            f"name: Own\nsymbols: [AAPL]\npool: {BREAKOUT}\nparameters: {{window: {{type: int, default: 9}}}}"
        )
        loaded = load_strategy(path)
        assert loaded.pool is custom_pool.pool
        assert loaded.strategy.parameters == {"window": 9, "alpha_pool": "breakout"}
        with pytest.raises(ConfigError, match=r"own.yaml: unknown parameter 'windows', nearest is 'window'"):
            load_strategy(path, {"windows": 3})

    def test_a_module_names_a_pool_a_template_or_a_strategy(self) -> None:
        pool = load_strategy(BREAKOUT, {"symbols": ["AAPL"], "window": 5})
        assert pool.pool is custom_pool.pool
        assert pool.strategy.parameters == {"window": 5, "alpha_pool": "breakout"}
        here = __name__ if "." in __name__ else f"tests.unit.orchestrator.{__name__}"
        assert load_strategy(f"{here}:template_dict").strategy.name == GUIDE["name"]
        assert load_strategy(f"{here}:plain_strategy").strategy == plain_strategy
        with pytest.raises(ConfigError, match="expected a template dict, a TradingStrategy or an AgentPool, got int"):
            load_strategy(f"{here}:number")

    def test_the_working_folder_is_importable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "my_alpha_module.py").write_text(
            "from agents.pool import AgentPool\nmine = AgentPool('mine', role='alpha')\nsteps = AgentPool('steps')\n"
        )
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        assert (
            strategy_from_dict({**TEMPLATE, "pool": "my_alpha_module:mine"}).strategy.parameters["alpha_pool"] == "mine"
        )
        with pytest.raises(ConfigError, match="has role None, a strategy needs one with role 'alpha'"):
            strategy_from_dict({**TEMPLATE, "pool": "my_alpha_module:steps"})
        with pytest.raises(ConfigError, match="my_alpha_module: unknown pool 'main', nearest is 'mine'"):
            strategy_from_dict({**TEMPLATE, "pool": "my_alpha_module:main"})

    @pytest.mark.parametrize("name", ["nowhere_at_all:pool", ":pool"])
    def test_what_cannot_be_imported_is_named(self, name: str) -> None:
        with pytest.raises(ConfigError, match=f"'{name}' cannot be imported"):
            load_strategy(name)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"none.yaml: cannot be read"):
            load_strategy(tmp_path / "none.yaml")


class TestShippedStrategies:
    def test_each_model_has_a_file_of_its_name(self) -> None:
        shipped = "buy_and_hold equal_weight mean_reversion momentum pairs risk_parity sma_cross"
        assert sorted(path.stem for path in STRATEGIES.glob("*.yaml")) == shipped.split()

    @pytest.mark.parametrize("path", sorted(STRATEGIES.glob("*.yaml")), ids=lambda path: path.stem)
    def test_each_is_a_template_of_its_model(self, path: Path) -> None:
        loaded = load_strategy(path)
        assert loaded.strategy.to_spec().strategy_id == path.stem
        assert loaded.strategy.parameters["strategy_type"] == path.stem
        assert loaded.required_data
        assert all("default" in spec.model_fields_set and spec.description for spec in loaded.declared.values())


class TestWorkflows:
    def test_steps_get_what_their_actions_take(self) -> None:
        overrides = {"symbols": ["AAPL"], "lookback_period": 30, "history_end": "2012-06-29"}
        loaded = strategy_from_template(GUIDE, overrides)
        steps = {step["step_id"]: step for step in workflow_of(loaded)["steps"]}
        assert list(steps) == [
            "fetch_data",
            "calculate_momentum",
            "assess_risk",
            "construct_targets",
            "optimize_execution",
        ]
        assert steps["fetch_data"]["parameters"] == {
            "symbols": ["AAPL"],
            "lookback": 30,
            "end": "2012-06-29",
            "required_data": ["price_data", "volume_data", "volatility_data"],
        }
        assert steps["calculate_momentum"]["parameters"] == {"lookback_period": 30, "signal_threshold": 0.02}
        assert steps["assess_risk"]["parameters"] == steps["optimize_execution"]["parameters"] == {}
        assert steps["construct_targets"]["depends_on"] == ["assess_risk", "calculate_momentum"]
        assert steps["optimize_execution"]["depends_on"] == ["assess_risk", "construct_targets"]

    def test_a_steps_own_parameters_count_first(self) -> None:
        own = {"step": "fetch_data", "agent": "data_agent_pool", "parameters": {"start": "2012-01-03", "lookback": 0}}
        loaded = strategy_from_dict({**TEMPLATE, "workflow": [own]})
        parameters = workflow_of(loaded)["steps"][0]["parameters"]
        assert parameters == {"symbols": ["AAPL"], "lookback": 0, "start": "2012-01-03"}

    def test_a_pool_of_ones_own_gets_all_parameters(self) -> None:
        steps = [{"step": "describe_channel", "agent": "breakout_agent_pool"}]
        loaded = strategy_from_dict({**declared(window={"type": "int", "default": 9}), "workflow": steps})
        assert workflow_of(loaded)["steps"][0]["parameters"] == {
            "symbols": ["AAPL"],
            "lookback_period": 20,
            "window": 9,
        }

    def test_a_strategy_without_workflow_says_so(self) -> None:
        with pytest.raises(ConfigError, match="'p' has no workflow"):
            workflow_of(strategy_from_dict(PLAIN))


class TestRequiredData:
    def test_names_each_column_that_is_missing(self) -> None:
        check_required(["price_data", "volume_data", "volatility_data"], {"close", "volume"})
        check_required(["price_data", "volume_data"], {"price", "size"})
        with pytest.raises(MissingData, match=r"volume_data needs volume or size; the data has close, open"):
            check_required(["price_data", "volume_data"], {"open", "close"})
        with pytest.raises(ConfigError, match="Unknown required_data 'news', did you mean"):
            check_required(["news"], {"close"})

    def test_a_column_of_zeros_is_not_there(self) -> None:
        full = fetch(SampleProvider(), FetchParameters(symbols=("AAPL", "IBM"), end=dt.date(2000, 3, 31))).blocks
        assert columns_of(full) == {"open", "high", "low", "close", "volume"}
        assert columns_of(()) == set()
        quiet = full[0].model_copy(update={"volume": np.zeros(len(full[0]))})
        assert columns_of([quiet, full[1]]) == {"open", "high", "low", "close"}

    def test_the_fetch_of_an_evaluation_is_told(self) -> None:
        spec = strategy_from_template(GUIDE, {"symbols": ["AAPL"]}).strategy.to_spec()
        fetched = execute_steps(ExecuteStrategy(workflow_id="w", ts_event=0, strategy=spec))[0]
        assert fetched.parameters["required_data"] == GUIDE["required_data"]
