"""The strategy as users write it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from orchestrator.strategy import TradingStrategy, model_parameters
from streams.errors import ConfigError


def strategy(**changed: Any) -> TradingStrategy:
    given: dict[str, Any] = {"strategy_id": "m1", "name": "Momentum", "symbols": ["AAPL", "GOOGL"], **changed}
    return TradingStrategy(**given)


def test_trading_strategy_creation() -> None:
    made = TradingStrategy(
        strategy_id="momentum_001",
        name="Momentum Strategy",
        symbols=["AAPL", "GOOGL"],
        lookback_period=20,
        parameters={"threshold": 0.02},
    )
    spec = made.to_spec()
    assert (spec.description, spec.rebalance_frequency, spec.lookback_period) == ("", "daily", 20)
    assert spec.symbols == ("AAPL", "GOOGL")
    assert spec.parameters == {"threshold": 0.02}


def test_fields_stand_in_the_order_of_the_guide() -> None:
    assert is_dataclass(TradingStrategy)
    names = [field.name for field in fields(TradingStrategy)]
    assert names == [
        "strategy_id",
        "name",
        "description",
        "symbols",
        "lookback_period",
        "rebalance_frequency",
        "parameters",
    ]
    assert TradingStrategy("s", "n", "d", ["AAPL"], 5, "weekly", {"a": 1}).to_spec().rebalance_frequency == "weekly"


def test_parameters_are_independent_per_instance() -> None:
    one, other = strategy(), strategy()
    one.parameters["threshold"] = 1
    assert other.parameters == {}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rebalance_frequency": "hourly"}, "'hourly'.*bar, daily, monthly, quarterly, weekly"),
        ({"rebalance_frequency": ["daily"]}, "rebalance_frequency"),
        ({"symbols": []}, "symbols is empty"),
        ({"symbols": "AAPL"}, "symbols must be a list, got 'AAPL'"),
        ({"symbols": ["AAPL", "AAPL"]}, "repeats AAPL"),
        ({"symbols": [7]}, "symbols.0.*got 7"),
        ({"symbols": [["AAPL"], ["AAPL"]]}, "symbols"),
        ({"lookback_period": "20"}, "lookback_period.*got '20'"),
        ({"lookback_period": True}, "lookback_period.*got True"),
        ({"lookback_period": 0}, "lookback_period.*got 0"),
        ({"strategy_id": ""}, "strategy_id"),
        ({"parameters": "{}"}, "parameters must be a dict"),
        ({"parameters": {"x": float("nan")}}, "parameters"),
        ({"parameters": {"x": object()}}, "no JSON"),
        ({"parameters": {"strategy_type": 3}}, "strategy_type must be a name, got 3"),
    ],
)
def test_a_wrong_field_is_named(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        strategy(**changed).to_spec()


def test_control_keys_are_kept_from_the_model() -> None:
    given = {"strategy_type": "momentum", "alpha_pool": "a", "limits": {}, "initial_cash": 1.0, "threshold": 0.02}
    assert model_parameters(given) == {"threshold": 0.02}
