"""Parameters of the scenarios, one model a mode."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from orchestrator.sandbox.options import AbOptions, LiveOptions, MonteCarloOptions, StressOptions
from orchestrator.strategy import TradingStrategy
from orchestrator.wording import problems, unknown
from streams.errors import ConfigError

DEFAULT_SYMBOLS = ("AAPL", "GOOGL", "IBM", "MSFT")
"""What a scenario trades that names no symbols: those of the sample with a long history in common."""


class Config(BaseModel):
    """The part that all scenarios share: symbols, period and cash."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    symbols: tuple[str, ...] = Field(default=DEFAULT_SYMBOLS, min_length=1)
    """Bare symbols or SYMBOL.VENUE."""
    start_date: dt.date | None = None
    """First session; None: sandbox.data_start_date, else the first that all symbols have."""
    end_date: dt.date | None = None
    """Last session, included; None: the last there is."""
    initial_capital: float | None = Field(default=None, gt=0)
    """Cash at the start; None: the configured one."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start_date and self.end_date and self.end_date < self.start_date:
            raise ValueError(f"end_date {self.end_date} is before start_date {self.start_date}")
        return self

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Return the parameters in a dict; raise ConfigError that names what is wrong and the nearest key."""
        what = cls.__name__.removesuffix("Config")
        _check_keys(what, values, cls)
        for strategy in _listed(values.get("strategies")):
            if isinstance(strategy, Mapping):
                _check_keys(f"{what}: strategies", strategy, StrategyConfig)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"{what}: {problems(error)}") from error


class StrategyConfig(BaseModel):
    """A strategy by its parameters alone; it trades the scenario's symbols."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    name: str = ""
    """What results call it; empty: its strategy_type."""
    strategy_type: str = "momentum"
    """The model."""
    lookback_period: int = Field(default=20, ge=1)
    """History that a decision looks at, in bars."""
    rebalance_frequency: str = "daily"
    """How often targets are set."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the model and of portfolio construction; also limits, and alpha_pool for a registered pool."""

    def strategy(self, symbols: tuple[str, ...]) -> TradingStrategy:
        """Return the strategy that is tested."""
        name = self.name or self.strategy_type
        return TradingStrategy(
            strategy_id=name,
            name=name,
            symbols=list(symbols),
            lookback_period=self.lookback_period,
            rebalance_frequency=self.rebalance_frequency,
            parameters={"strategy_type": self.strategy_type, **self.parameters},
        )


def _named(value: object) -> object:
    return {"strategy_type": value} if isinstance(value, str) else value


Arm = Annotated[StrategyConfig, BeforeValidator(_named)]
"""A strategy, or the name of a model with its defaults."""


class OneStrategyConfig(Config, StrategyConfig):
    """Parameters of a scenario with one strategy."""

    def strategies_asked(self) -> tuple[StrategyConfig, ...]:
        """Return the strategies that run."""
        return (StrategyConfig(**{name: getattr(self, name) for name in StrategyConfig.model_fields}),)


class BacktestConfig(OneStrategyConfig):
    """Parameters of a historical backtest."""

    symbols: tuple[str, ...] = Field(min_length=1)
    """Bare symbols or SYMBOL.VENUE."""


class LiveConfig(OneStrategyConfig, LiveOptions):
    """Parameters of a live simulation."""


class MonteCarloConfig(OneStrategyConfig, MonteCarloOptions):
    """Parameters of a Monte Carlo run."""


class StressConfig(OneStrategyConfig, StressOptions):
    """Parameters of a stress test."""

    strategies: tuple[Arm, ...] = ()
    """Strategies that run; empty: the one that the other keys describe."""

    def strategies_asked(self) -> tuple[StrategyConfig, ...]:
        """Return the strategies that run."""
        return self.strategies or super().strategies_asked()


class AbConfig(Config, AbOptions):
    """Parameters of an A/B test."""

    strategies: tuple[Arm, ...] = Field(min_length=2, max_length=2)
    """The two arms, A and B."""

    def strategies_asked(self) -> tuple[StrategyConfig, ...]:
        """Return the two arms."""
        return self.strategies


CONFIGS: tuple[type[Config], ...] = (BacktestConfig, LiveConfig, StressConfig, AbConfig, MonteCarloConfig)


def known(values: Mapping[str, Any], config: type[Config]) -> dict[str, Any]:
    """Return those values that a mode reads; raise ConfigError for a key that no mode reads."""
    every = {key for each in CONFIGS for key in each.model_fields}
    for key in values:
        if key not in every:
            raise ConfigError(f"Sandbox: {unknown('key', str(key), every)}")
    return {key: value for key, value in values.items() if key in config.model_fields}


def _check_keys(what: str, values: Mapping[str, Any], model: type[BaseModel]) -> None:
    for key in values:
        if key not in model.model_fields:
            raise ConfigError(f"{what}: {unknown('key', str(key), model.model_fields)}")


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []
