"""Rewards: what a step in the market was worth to the learner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, ClassVar

import numpy as np

from schemas.columns import Float64
from streams.errors import ConfigError, InvalidData

RUIN = 1e-4
"""What a value that fell below this share of the one before counts as, so that ruin has a finite logarithm."""


class RewardFunction(ABC):
    """A reward of one's own: subclass it and give it to training.

    Every environment has a copy of its own, so that what one keeps in self is of one episode at a time.
    """

    vectorised: ClassVar[bool] = False
    """True where the class's own calculate_reward and reset take all environments at once: states (E, D), actions
    (E, N), values (E,). What a class that is not so inherits is called for each environment."""
    state: ClassVar[tuple[str, ...]] = ()
    """The names of a vectorised class's attributes that belong to an episode, arrays of shape (E,)."""

    def reset(self, portfolio_value: Any, benchmark_value: Any) -> None:  # noqa: B027
        """Begin an episode that starts with these values; override it where something is kept in self."""

    @abstractmethod
    def calculate_reward(
        self, state: Any, action: Any, next_state: Any, portfolio_value: Any, benchmark_value: Any
    ) -> Any:
        """Return the reward of a step.

        state and next_state: the observations before and after it, float32 of shape (D,), whose last N + 1 numbers are
        the weights before the action and the share of cash. action: the target weights, shape (N,), after bounds and
        gross cap. portfolio_value and benchmark_value: equity after the step, and that of the equal-weight buy and
        hold, each one number.
        """


class LogReturn(RewardFunction):
    """The logarithm of equity over equity before; over an episode it adds up to that of the whole."""

    vectorised = True
    state = ("_last",)

    def reset(self, portfolio_value: Any, benchmark_value: Any) -> None:
        """Take the first value."""
        self._last = np.array(portfolio_value, np.float64)

    def calculate_reward(
        self, state: Any, action: Any, next_state: Any, portfolio_value: Any, benchmark_value: Any
    ) -> Any:
        """Return ln(value / value before)."""
        reward = _log_return(portfolio_value, self._last)
        self._last = np.array(portfolio_value, np.float64)
        return reward


class ExcessReturn(RewardFunction):
    """The log return less that of the benchmark; over an episode it adds up to ln(equity / benchmark)."""

    vectorised = True
    state = ("_last", "_benchmark")

    def reset(self, portfolio_value: Any, benchmark_value: Any) -> None:
        """Take the first values."""
        self._last = np.array(portfolio_value, np.float64)
        self._benchmark = np.array(benchmark_value, np.float64)

    def calculate_reward(
        self, state: Any, action: Any, next_state: Any, portfolio_value: Any, benchmark_value: Any
    ) -> Any:
        """Return ln(value / value before) - ln(benchmark / benchmark before)."""
        reward = _log_return(portfolio_value, self._last) - _log_return(benchmark_value, self._benchmark)
        self.reset(portfolio_value, benchmark_value)
        return reward


class DifferentialSharpe(RewardFunction):
    """How much a step's simple return R moves an exponentially weighted Sharpe ratio (Moody and Saffell 1998).

    D = (B dA - A dB / 2) / (B - A^2)^(3/2), with dA = R - A and dB = R^2 - B, then A += adaptation dA, B += adaptation
    dB. A starts at 0 and B at volatility^2, so that the first D is R / volatility; B - A^2 counts as no less than
    (volatility / 10)^2, so that a first trade after long rest has no boundless reward.
    """

    vectorised = True
    state = ("_last", "_mean", "_square")

    def __init__(self, adaptation: float = 0.01, volatility: float = 0.01) -> None:
        """Take the share of a step in the averages, and the volatility per step that they start from."""
        if not 0 < adaptation < 1 or not volatility > 0:
            raise ConfigError(f"adaptation {adaptation} must lie in (0, 1), volatility {volatility} above 0")
        self.adaptation, self.volatility = adaptation, volatility

    def reset(self, portfolio_value: Any, benchmark_value: Any) -> None:
        """Start the averages."""
        self._last = np.array(portfolio_value, np.float64)
        self._mean = np.zeros(self._last.shape)
        self._square = np.full(self._last.shape, self.volatility**2)

    def calculate_reward(
        self, state: Any, action: Any, next_state: Any, portfolio_value: Any, benchmark_value: Any
    ) -> Any:
        """Return the differential Sharpe ratio, then move the averages."""
        change = portfolio_value / self._last - 1
        to_mean, to_square = change - self._mean, change * change - self._square
        variance = np.maximum(self._square - self._mean * self._mean, (self.volatility / 10) ** 2)
        reward = (self._square * to_mean - self._mean * to_square / 2) / variance**1.5
        self._mean = self._mean + self.adaptation * to_mean
        self._square = self._square + self.adaptation * to_square
        self._last = np.array(portfolio_value, np.float64)
        return reward


class DrawdownPenalty(RewardFunction):
    """Minus the drawdown: the share by which equity lies below the highest of the episode."""

    vectorised = True
    state = ("_peak",)

    def reset(self, portfolio_value: Any, benchmark_value: Any) -> None:
        """Take the first peak."""
        self._peak = np.array(portfolio_value, np.float64)

    def calculate_reward(
        self, state: Any, action: Any, next_state: Any, portfolio_value: Any, benchmark_value: Any
    ) -> Any:
        """Return value / peak - 1."""
        self._peak = np.maximum(self._peak, portfolio_value)
        return portfolio_value / self._peak - 1


class TurnoverPenalty(RewardFunction):
    """Minus the turnover that was asked for: the sum of |target weight - weight before|."""

    vectorised = True

    def calculate_reward(
        self, state: Any, action: Any, next_state: Any, portfolio_value: Any, benchmark_value: Any
    ) -> Any:
        """Return -sum |action - weights|."""
        weights = state[..., -action.shape[-1] - 1 : -1]
        return -np.add.reduce(np.abs(action - weights), axis=-1)


class Composite(RewardFunction):
    """A weighted sum of rewards."""

    vectorised = True

    def __init__(self, parts: Sequence[tuple[float, RewardFunction]]) -> None:
        """Take (weight, reward) pairs."""
        if not parts:
            raise ConfigError("a composite reward needs at least one part")
        self.parts = tuple(parts)

    def reset(self, portfolio_value: Any, benchmark_value: Any) -> None:
        """Begin an episode for every part."""
        for _, part in self.parts:
            part.reset(portfolio_value, benchmark_value)

    def calculate_reward(
        self, state: Any, action: Any, next_state: Any, portfolio_value: Any, benchmark_value: Any
    ) -> Any:
        """Return the sum of weight x reward."""
        step = (state, action, next_state, portfolio_value, benchmark_value)
        return sum(weight * part.calculate_reward(*step) for weight, part in self.parts)


BUILT_IN: Mapping[str, type[RewardFunction]] = {
    "log_return": LogReturn,
    "excess_return": ExcessReturn,
    "differential_sharpe": DifferentialSharpe,
    "drawdown_penalty": DrawdownPenalty,
    "turnover_penalty": TurnoverPenalty,
}


def parse_reward(given: str | Mapping[str, Any]) -> RewardFunction:
    """Return the reward that a configuration names: log_return, or {log_return: {}, turnover_penalty: {weight: 0.1}}.

    weight (default 1) is the part's share of the sum, what else stands there its parameters. Raises ConfigError.
    """
    if isinstance(given, str):
        return _part(given, {})[1]
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"a reward is a name or a mapping of names to parameters, got {given!r}")
    parts = [_part(name, own) for name, own in given.items()]
    return parts[0][1] if len(parts) == 1 and parts[0][0] == 1 else Composite(parts)


def _part(name: str, given: Any) -> tuple[float, RewardFunction]:
    if name not in BUILT_IN:
        raise ConfigError(f"Unknown reward {name!r}, expected one of {tuple(BUILT_IN)}")
    if given is not None and not isinstance(given, Mapping):
        raise ConfigError(f"reward {name}: expected its parameters, got {given!r}")
    own = dict(given or {})
    weight = own.pop("weight", 1.0)
    numbers = {"weight": weight, **own}
    wrong = {key: value for key, value in numbers.items() if type(value) not in (int, float) or not np.isfinite(value)}
    if wrong:
        raise ConfigError(f"reward {name}: expected numbers, got {wrong}")
    try:
        return float(weight), BUILT_IN[name](**own)
    except TypeError as error:
        raise ConfigError(f"reward {name}: {error}") from error


class Rewards:
    """The reward of many environments."""

    def __init__(self, reward: RewardFunction, count: int) -> None:
        """Copy the reward: once where it is vectorised all through, else for each environment."""
        self._whole = deepcopy(reward) if is_vectorised(reward) else None
        self._each = [] if self._whole is not None else [deepcopy(reward) for _ in range(count)]

    def reset(self, where: Any, portfolio_values: Float64, benchmark_values: Float64) -> None:
        """Begin episodes where the mask (E,) is true."""
        if self._whole is not None:
            _restart(self._whole, where, portfolio_values, benchmark_values)
        for index in np.flatnonzero(where) if self._each else ():
            self._each[index].reset(float(portfolio_values[index]), float(benchmark_values[index]))

    def of(
        self, states: Any, actions: Float64, next_states: Any, portfolio_values: Float64, benchmark_values: Float64
    ) -> Float64:
        """Return the rewards of a step, shape (E,)."""
        if self._whole is not None:
            rewards: Float64 = self._whole.calculate_reward(
                states, actions, next_states, portfolio_values, benchmark_values
            )
            return rewards
        columns = (states, actions, next_states, portfolio_values.tolist(), benchmark_values.tolist())
        steps = zip(self._each, *columns, strict=True)
        given = np.array([float(reward.calculate_reward(*step)) for reward, *step in steps])
        if not np.isfinite(given).all():
            raise InvalidData(f"{type(self._each[0]).__name__} gave a reward that is not finite: {given.tolist()}")
        return given


def is_vectorised(reward: RewardFunction) -> bool:
    """Tell whether the code that a reward runs takes all environments at once."""
    methods = ("calculate_reward", "reset")
    homes = [next(kind for kind in type(reward).__mro__ if name in vars(kind)) for name in methods]
    own = all(kind is RewardFunction or vars(kind).get("vectorised", False) for kind in homes)
    return own and (not isinstance(reward, Composite) or all(is_vectorised(part) for _, part in reward.parts))


def _restart(reward: RewardFunction, where: Any, portfolio_values: Float64, benchmark_values: Float64) -> None:
    for _, part in reward.parts if isinstance(reward, Composite) else ():
        _restart(part, where, portfolio_values, benchmark_values)
    if isinstance(reward, Composite):
        return
    kept = {name: getattr(reward, name, None) for name in reward.state}
    reward.reset(portfolio_values, benchmark_values)
    for name, values in kept.items():
        if values is not None:
            np.copyto(getattr(reward, name), values, where=~where)


def _log_return(value: Any, before: Any) -> Any:
    return np.log(np.maximum(value / before, RUIN))
