"""The models of the built-in alpha pool, by strategy_type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic

from agents.alpha import (
    buy_and_hold,
    ema_cross,
    equal_weight,
    mean_reversion,
    momentum,
    pairs,
    risk_parity,
    sma_cross,
)
from agents.alpha.ema_cross import EmaState, advance_ema, opinion_of
from agents.alpha.opinion import Closes, Opinion
from agents.parameters import P, Parameters, nearest, parse_model
from schemas import RiskLimits
from streams.errors import ConfigError

__all__ = [
    "MODELS",
    "Closes",
    "EmaState",
    "Model",
    "Opinion",
    "Parameters",
    "advance_ema",
    "check_limits",
    "decide",
    "history_needed",
    "is_aligned",
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
    aligned: bool = False
    """Whether the closes of different instruments must be those of the same bars."""
    shorts: bool = False
    """Whether it means nothing without short positions."""


MODELS: dict[str, Model[Any]] = {
    "momentum": Model(momentum.MomentumParameters, momentum.decide, momentum.history),
    "mean_reversion": Model(mean_reversion.MeanReversionParameters, mean_reversion.decide, mean_reversion.history),
    "sma_cross": Model(sma_cross.SmaCrossParameters, sma_cross.decide, sma_cross.history),
    "ema_cross": Model(ema_cross.EmaCrossParameters, ema_cross.decide, ema_cross.history),
    "pairs": Model(pairs.PairsParameters, pairs.decide, pairs.history, aligned=True, shorts=True),
    "equal_weight": Model(equal_weight.EqualWeightParameters, equal_weight.decide, equal_weight.history),
    "buy_and_hold": Model(buy_and_hold.BuyAndHoldParameters, buy_and_hold.decide, buy_and_hold.history),
    "risk_parity": Model(risk_parity.RiskParityParameters, risk_parity.decide, risk_parity.history, aligned=True),
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


def is_aligned(strategy_type: str) -> bool:
    """Return whether a model compares closes of different instruments bar by bar."""
    return _model(strategy_type).aligned


def check_limits(strategy_type: str, limits: RiskLimits) -> None:
    """Raise ConfigError where a model needs short positions and the limits forbid them."""
    if _model(strategy_type).shorts and not limits.allow_short:
        raise ConfigError(f"{strategy_type} sells short: set limits.allow_short to true, it is false")


def _model(strategy_type: str) -> Model[Any]:
    if strategy_type not in MODELS:
        hint = nearest(strategy_type, MODELS)
        raise ConfigError(
            f"Unknown strategy_type {strategy_type!r}, did you mean {hint!r}? Expected one of {sorted(MODELS)}"
        )
    return MODELS[strategy_type]
