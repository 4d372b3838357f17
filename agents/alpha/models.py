"""The models of the built-in alpha pool, by strategy_type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic

from agents.alpha import buy_and_hold, ema_cross, mean_reversion, momentum
from agents.alpha.ema_cross import EmaState, advance_ema, opinion_of
from agents.alpha.opinion import Closes, Opinion
from agents.parameters import P, Parameters, nearest, parse_model
from streams.errors import ConfigError

__all__ = [
    "MODELS",
    "Closes",
    "EmaState",
    "Model",
    "Opinion",
    "Parameters",
    "advance_ema",
    "decide",
    "history_needed",
    "opinion_of",
    "parse_parameters",
]


@dataclass(frozen=True)
class Model(Generic[P]):
    """A strategy_type: its parameters and its pure functions."""

    parameters: type[P]
    decide: Callable[[P, Closes, int], dict[str, Opinion]]
    """(parameters, closes, lookback) -> opinion by instrument_id; raises MissingData on too short a history."""
    history: Callable[[P, int], int]
    """(parameters, lookback) -> closes that decide needs of each instrument."""


MODELS: dict[str, Model[Any]] = {
    "momentum": Model(momentum.MomentumParameters, momentum.decide, momentum.history),
    "mean_reversion": Model(mean_reversion.MeanReversionParameters, mean_reversion.decide, mean_reversion.history),
    "ema_cross": Model(ema_cross.EmaCrossParameters, ema_cross.decide, ema_cross.history),
    "buy_and_hold": Model(buy_and_hold.BuyAndHoldParameters, buy_and_hold.decide, buy_and_hold.history),
}
"""Models by strategy_type."""


def parse_parameters(strategy_type: str, raw: Mapping[str, Any]) -> Parameters:
    """Return a model's parameters from a strategy's dict; raise ConfigError for an unknown key or a value out of range.

    Keys of portfolio construction (position_size and so on) are checked too, but not part of the result.
    """
    parameters: Parameters = parse_model(_model(strategy_type).parameters, raw)
    return parameters


def history_needed(strategy_type: str, parameters: Parameters, lookback: int) -> int:
    """Return how many closes of each instrument a decision needs."""
    return _model(strategy_type).history(parameters, lookback)


def decide(strategy_type: str, parameters: Parameters, closes: Closes, lookback: int) -> dict[str, Opinion]:
    """Return a model's opinion on each instrument in closes."""
    return _model(strategy_type).decide(parameters, closes, lookback)


def _model(strategy_type: str) -> Model[Any]:
    if strategy_type not in MODELS:
        hint = nearest(strategy_type, MODELS)
        raise ConfigError(
            f"Unknown strategy_type {strategy_type!r}, did you mean {hint!r}? Expected one of {sorted(MODELS)}"
        )
    return MODELS[strategy_type]
