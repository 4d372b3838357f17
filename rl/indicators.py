"""Indicators: what a policy sees of prices, one row after the other, so that no row can know a later one."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PositiveInt

from agents.data.calendars import Int64
from rl.rows import Float32
from schemas.columns import Float64
from streams.errors import InvalidData

LIMIT = 10.0
"""Features beyond are cut to it."""
_DAY = 0.02
"""A day's usual move of a share: what returns are counted in."""
_GAIN, _LOSS, _FAST, _SLOW, _SIGNAL = range(5)


def _grid(rows: object) -> Float64:
    return np.array(rows, np.float64)


Grid = Annotated[Float64, BeforeValidator(_grid), PlainSerializer(lambda grid: grid.tolist())]
"""Rows of numbers, one for each instrument; in JSON a list of lists, which keeps every bit."""


class IndicatorState(BaseModel):
    """What the next row's features need of the rows before."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    rows: int = 0
    """Rows seen."""
    closes: Grid = Field(default_factory=lambda: np.empty((0, 0)))
    """The latest closes, oldest first."""
    volumes: Grid = Field(default_factory=lambda: np.empty((0, 0)))
    averages: Grid = Field(default_factory=lambda: np.empty((0, 0)))
    """Wilder's averages of gains and losses; the fast and the slow average of closes and that of their difference."""


class Indicators(BaseModel):
    """Which indicators, with which periods; all in rows. Its fields as JSON are what a policy's metadata keep.

    Per instrument, each brought to order 1 by a fixed factor and cut to +-10: log returns over their period, in 2 % x
    sqrt(period); volatility, the standard deviation (ddof 1) of log returns, in 2 %; RSI (Wilder 1978) as
    (RSI - 50) / 50, 0 where nothing moved; MACD line and histogram (Appel) over the close, in 2 %; Bollinger position
    (close - mean) / (2 standard deviations, ddof 0), 0 where nothing moved; volume over its mean - 1, 0 where there was
    none; momentum, the log return over a long period, in 2 % x sqrt(period). Averages start as TA-Lib's do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    volumes: bool
    """False: closes only, and the volume feature is left out."""
    returns: tuple[PositiveInt, ...] = Field(default=(1, 5, 20), min_length=1)
    volatility: int = Field(default=20, ge=2)
    rsi: int = Field(default=14, ge=2)
    macd: tuple[PositiveInt, PositiveInt, PositiveInt] = (12, 26, 9)
    """Fast, slow and signal period."""
    bollinger: int = Field(default=20, ge=2)
    volume: int = Field(default=20, ge=1)
    momentum: int = Field(default=60, ge=1)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the names of an instrument's features, in their order."""
        fast, slow, signal = self.macd
        return (
            *(f"return_{period}" for period in self.returns),
            f"volatility_{self.volatility}",
            f"rsi_{self.rsi}",
            f"macd_{fast}_{slow}",
            f"macd_{fast}_{slow}_{signal}",
            f"bollinger_{self.bollinger}",
            f"momentum_{self.momentum}",
            *((f"volume_{self.volume}",) if self.volumes else ()),
        )

    @cached_property
    def warm_up(self) -> int:
        """Return how many rows come before the first one with features."""
        longest = max(*self.returns, self.volatility, self.rsi, self.momentum, self.bollinger - 1, self.volume - 1)
        return max(longest, self.macd[1] + self.macd[2] - 2)

    def ready(self, state: IndicatorState) -> bool:
        """Tell whether the last row has features."""
        return state.rows > self.warm_up

    def advance(self, state: IndicatorState, closes: Float64, volumes: Float64 | None = None) -> Float32 | None:
        """Take the next row, shape (N,), and return its features, shape (N, F); none during the warm-up.

        volumes are not read where they are left out. Raises InvalidData for another number of instruments, or prices
        that are not positive and finite.
        """
        self._check(state, closes, volumes)
        if not state.rows:
            state.closes = state.volumes = np.empty((0, len(closes)))
            state.averages = np.zeros((5, len(closes)))
        state.rows += 1
        state.closes = np.concatenate([state.closes[-self.warm_up :], closes[None]])
        if self.volumes and volumes is not None:
            state.volumes = np.concatenate([state.volumes, volumes[None]])[-self.volume :]
        self._average(state)
        if not self.ready(state):
            return None
        features = self._features(state)
        np.minimum(features, LIMIT, out=features)
        np.maximum(features, -LIMIT, out=features)
        return features.T.astype(np.float32, order="C")

    def over(self, closes: Float64, volumes: Float64 | None) -> Float32:
        """Return the features of all rows, shape (T, N, F), NaN during the warm-up."""
        state = IndicatorState()
        found = np.full((*closes.shape, len(self.names)), np.nan, np.float32)
        for row, prices in enumerate(closes):
            features = self.advance(state, prices, None if volumes is None else volumes[row])
            if features is not None:
                found[row] = features
        return found

    def _check(self, state: IndicatorState, closes: Float64, volumes: Float64 | None) -> None:
        # A comparison with what is not a number is false.
        if not (np.minimum.reduce(closes) > 0 and np.maximum.reduce(closes) < np.inf):
            raise InvalidData(f"closes must be positive numbers, got {closes.tolist()}")
        if state.rows and state.closes.shape[1] != len(closes):
            raise InvalidData(f"{len(closes)} closes follow on rows of {state.closes.shape[1]} instruments")
        if not self.volumes:
            return
        if volumes is None or not (np.minimum.reduce(volumes) >= 0 and np.maximum.reduce(volumes) < np.inf):
            raise InvalidData(f"volumes must be numbers of 0 or more, got {volumes}")
        if len(volumes) != len(closes):
            raise InvalidData(f"{len(volumes)} volumes stand beside {len(closes)} closes")

    def _average(self, state: IndicatorState) -> None:
        closes, averages, (_, slow, signal) = state.closes, state.averages, self.macd
        change = closes[-1] - closes[-2] if state.rows > 1 else np.zeros(closes.shape[1])
        values = np.array([np.maximum(change, 0), np.maximum(-change, 0), closes[-1], closes[-1]])
        averages[:_SIGNAL] += (values - averages[:_SIGNAL]) * self._steps
        if state.rows <= self.warm_up + 1:
            self._start(state)
        line, count = averages[_FAST] - averages[_SLOW], state.rows - slow + 1
        if count > signal:
            averages[_SIGNAL] += (line - averages[_SIGNAL]) * (2 / (signal + 1))
        else:
            averages[_SIGNAL] += line / signal if count > 0 else 0

    def _start(self, state: IndicatorState) -> None:
        """Start each average from the mean of its first period."""
        closes, averages, (fast, slow, _) = state.closes, state.averages, self.macd
        if state.rows == self.rsi + 1:
            changes = np.diff(closes, axis=0)
            averages[_GAIN], averages[_LOSS] = np.maximum(changes, 0).mean(axis=0), np.maximum(-changes, 0).mean(axis=0)
        if state.rows == slow:
            averages[_FAST], averages[_SLOW] = closes[-fast:].mean(axis=0), closes.mean(axis=0)

    def _features(self, state: IndicatorState) -> Float64:
        """Return the features of the last row, shape (F, N)."""
        closes, (gain, loss, fast, slow, signal) = state.closes, state.averages
        close, line, count = closes[-1], fast - slow, len(self.returns)
        features = np.empty((len(self.names), closes.shape[1]))
        returns = np.log(close / closes[self._before]) / self._moves
        features[:count], features[count + 5] = returns[:-1], returns[-1]
        logs = np.log(closes[-self.volatility - 1 :])
        _, features[count] = _spread(logs[1:] - logs[:-1], self.volatility - 1)
        features[count] /= _DAY
        moved = gain + loss
        features[count + 1] = (gain - loss) / np.where(moved > 0, moved, 1)
        features[count + 2 : count + 4] = np.array([line, line - signal]) / (close * _DAY)
        mean, spread = _spread(closes[-self.bollinger :], self.bollinger)
        features[count + 4] = (close - mean) / np.where(spread > 0, 2 * spread, 1)
        if self.volumes:
            usual = np.add.reduce(state.volumes, axis=0) / self.volume
            features[count + 6] = np.where(usual > 0, state.volumes[-1] / np.where(usual > 0, usual, 1) - 1, 0)
        return features

    @cached_property
    def _steps(self) -> Float64:
        fast, slow, _ = self.macd
        return np.array([[1 / self.rsi], [1 / self.rsi], [2 / (fast + 1)], [2 / (slow + 1)]])

    @cached_property
    def _before(self) -> Int64:
        return np.array([-1 - period for period in (*self.returns, self.momentum)])

    @cached_property
    def _moves(self) -> Float64:
        return _DAY * np.sqrt([[period] for period in (*self.returns, self.momentum)])


def _spread(rows: Float64, degrees: int) -> tuple[Float64, Float64]:
    """Return mean and standard deviation of each column."""
    mean: Float64 = np.add.reduce(rows, axis=0) / len(rows)
    off = rows - mean
    return mean, np.sqrt(np.add.reduce(off * off, axis=0) / degrees)
