"""A strategy as users write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import ValidationError

from orchestrator.wording import problems, unknown
from schemas import RebalanceFrequency, StrategySpec
from streams.errors import ConfigError

DEFAULT_STRATEGY_TYPE = "momentum"
DEFAULT_ALPHA_POOL = "alpha"
"""The pool that decides for a run where its strategy names none."""
RL = "rl"
"""The strategy_type that a trained policy decides for, and the pool that does."""
CONTROL_KEYS = frozenset({"strategy_type", "alpha_pool", "limits", "initial_cash", "required_data"})
"""Parameters that steer the run itself; alpha models and portfolio construction never see them."""


def model_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a strategy's parameters without the control keys."""
    return {key: value for key, value in parameters.items() if key not in CONTROL_KEYS}


def alpha_pool_of(parameters: Mapping[str, Any]) -> str:
    """Return the pool that decides for a strategy with these parameters."""
    implied = RL if parameters.get("strategy_type") == RL else DEFAULT_ALPHA_POOL
    named = str(parameters.get("alpha_pool", implied))
    return RL if named == f"{RL}_agent_pool" else named


def strategy_type_of(parameters: Mapping[str, Any]) -> str:
    """Return the model that decides for a strategy with these parameters."""
    implied = RL if alpha_pool_of(parameters) == RL else DEFAULT_STRATEGY_TYPE
    return str(parameters.get("strategy_type", implied))


@dataclass
class TradingStrategy:
    """Define a strategy: what it trades, how far it looks back, how often it rebalances."""

    strategy_id: str
    """Names the definition."""
    name: str
    """Title for people."""
    description: str = ""
    """What it does."""
    symbols: list[str] = field(default_factory=list)
    """Bare symbols or SYMBOL.VENUE; at least one."""
    lookback_period: int = 20
    """History that a decision looks at, in bars."""
    rebalance_frequency: str = "daily"
    """How often targets are set: bar, daily, weekly, monthly or quarterly."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Parameters of the model and of portfolio construction; strategy_type selects the model (default momentum)."""

    def to_spec(self) -> StrategySpec:
        """Return the validated definition that travels in commands; raise ConfigError where a field is wrong."""
        self._check_symbols()
        self._check_frequency()
        self._check_parameters()
        try:
            return StrategySpec.model_validate({**vars(self), "symbols": tuple(self.symbols)}, strict=True)
        except ValidationError as error:
            raise ConfigError(f"Strategy {self.strategy_id!r}: {problems(error)}") from error
        except TypeError as error:
            raise ConfigError(f"Strategy {self.strategy_id!r}: parameters are no JSON: {error}") from error

    def _check_symbols(self) -> None:
        if not isinstance(self.symbols, list | tuple):
            raise ConfigError(f"Strategy {self.strategy_id!r}: symbols must be a list, got {self.symbols!r}")
        if not self.symbols:
            raise ConfigError(f"Strategy {self.strategy_id!r}: symbols is empty, expected at least one")
        repeated = sorted({str(symbol) for symbol in self.symbols if self.symbols.count(symbol) > 1})
        if repeated:
            raise ConfigError(f"Strategy {self.strategy_id!r}: symbols repeats {', '.join(repeated)}")

    def _check_frequency(self) -> None:
        known = get_args(RebalanceFrequency)
        if self.rebalance_frequency not in known:
            what = unknown("rebalance_frequency", str(self.rebalance_frequency), known)
            raise ConfigError(f"Strategy {self.strategy_id!r}: {what}")

    def _check_parameters(self) -> None:
        if not isinstance(self.parameters, dict):
            raise ConfigError(f"Strategy {self.strategy_id!r}: parameters must be a dict, got {self.parameters!r}")
        strategy_type = self.parameters.get("strategy_type", DEFAULT_STRATEGY_TYPE)
        if not isinstance(strategy_type, str) or not strategy_type:
            raise ConfigError(f"Strategy {self.strategy_id!r}: strategy_type must be a name, got {strategy_type!r}")
