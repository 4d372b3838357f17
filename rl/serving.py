"""Serving: what a policy's file says to those that decide by it, and the decision itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rl.indicators import Indicators, IndicatorState
from rl.market import Market, observation
from rl.policy import Policy
from rl.rules import TradingRules, drifted
from schemas import Bar
from schemas.columns import Float64
from streams.errors import ConfigError, InvalidData
from streams.state import State

SERVING = "serving"
"""Where a policy's metadata hold it."""


class Serving(BaseModel):
    """What a policy was trained to see and do; part of its file, so that its hash covers it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    instruments: tuple[str, ...] = Field(min_length=1)
    """instrument_ids, in the order in which it sees and weighs them."""
    interval: str
    """Length of the bars that it decides on."""
    indicators: Indicators
    rules: TradingRules

    @classmethod
    def of(cls, market: Market, rules: TradingRules) -> Self:
        """Return what a policy that is trained on a market by rules must keep."""
        panel = market.panel
        return cls(instruments=panel.instrument_ids, interval=panel.interval, indicators=market.indicators, rules=rules)

    @property
    def observation_size(self) -> int:
        """Return the length of an observation."""
        count = len(self.instruments)
        return count * len(self.indicators.names) + count + 1


class Seen(State):
    """What one run's decisions rest on besides the slice at hand; lists have a number for each instrument."""

    features: str = ""
    """The indicators that the rest belongs to, as JSON."""
    indicators: IndicatorState = Field(default_factory=IndicatorState)
    closes: list[float] = Field(default_factory=list)
    """The last row's."""
    weights: list[float] = Field(default_factory=list)
    """The last targets, as prices have moved them since."""


@dataclass(frozen=True)
class ServedPolicy:
    """A policy that was checked and is ready to decide."""

    policy: Policy
    serving: Serving
    metadata: Mapping[str, Any]
    """All that its file says besides the weights."""

    @classmethod
    def read(cls, data: bytes, digest: str | None = None) -> Self:
        """Read a policy's file; digest: the SHA-256 that it must have.

        Raises InvalidData where it was changed, is foreign, says nothing of serving, or does not fit what it says.
        """
        policy, metadata = Policy.unpack(data, digest)
        if SERVING not in metadata:
            raise InvalidData(
                "the policy does not say what it was trained to see and trade: it cannot decide for a run"
            )
        try:
            serving = Serving.model_validate(metadata[SERVING])
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise InvalidData(f"the policy's metadata: {SERVING}.{place}: {first['msg']}") from error
        served = cls(policy, serving, metadata)
        served._check_sizes()
        return served

    def _check_sizes(self) -> None:
        policy, serving = self.policy, self.serving
        count, lowest = len(serving.instruments), -1.0 if serving.rules.allow_short else 0.0
        sizes, expected = (policy.observation_size, policy.action_size), (serving.observation_size, count)
        if sizes != expected:
            names = ", ".join(serving.indicators.names)
            what = f"{count} instruments with the features {names} need {expected}"
            raise InvalidData(f"the policy takes and gives {sizes} numbers, {what}")
        if (policy.low != lowest).any() or (policy.high != 1.0).any():
            what = f"its rules say {lowest:g} to 1"
            raise InvalidData(f"the policy's actions lie in {policy.low} to {policy.high}, {what}")

    def check_run(self, instruments: Sequence[str], allow_short: bool) -> None:
        """Raise ConfigError where a run does not trade exactly the policy's instruments, or may not do what it does."""
        own, given = set(self.serving.instruments), set(instruments)
        if own != given:
            missing, unknown = (", ".join(sorted(each)) or "nothing" for each in (own - given, given - own))
            raise ConfigError(
                f"a policy trades exactly what it was trained on ({', '.join(self.serving.instruments)}): "
                f"missing {missing}, unknown to it {unknown}"
            )
        if self.serving.rules.allow_short and not allow_short:
            raise ConfigError("the policy sells short: set limits.allow_short to true, it is false")

    def bars(self, bars: Mapping[str, Bar]) -> tuple[Float64, Float64]:
        """Return closes and volumes in the policy's order; raise ConfigError for bars of another length."""
        own = [bars[name] for name in self.serving.instruments]
        for bar in own:
            if bar.interval != self.serving.interval:
                raise ConfigError(
                    f"the policy decides on bars of {self.serving.interval}, got {bar.interval} of {bar.instrument_id}"
                )
        return np.array([bar.close for bar in own]), np.array([bar.volume for bar in own])

    def advance(self, seen: Seen, closes: Float64, volumes: Float64, *, decide: bool = True) -> Float64 | None:
        """Take a row of bars in, shape (N,) in the policy's order; return target weights, none while it warms up.

        decide False: the row counts, and the weights drift on. Raises ConfigError where another policy's features stand
        in seen: a version that sees the market differently needs a run of its own.
        """
        self._claim(seen)
        weights = _drifted(seen, closes)
        features = self.serving.indicators.advance(seen.indicators, closes, volumes)
        decided = features is not None and decide
        if features is not None and decide:
            action = self.policy.act(observation(features, weights)[np.newaxis])
            weights = self.serving.rules.targets(action.T.astype(np.float64))[:, 0]
        seen.closes, seen.weights = closes.tolist(), weights.tolist()
        return weights if decided else None

    def _claim(self, seen: Seen) -> None:
        own = self._features
        if not seen.features:
            seen.features = own
        if seen.features != own:
            raise ConfigError(
                f"this version of the policy sees {own}, the run began with {seen.features}: start a new run"
            )

    @cached_property
    def _features(self) -> str:
        return self.serving.indicators.model_dump_json()


def _drifted(seen: Seen, closes: Float64) -> Float64:
    """Return the last targets as prices have moved them, summed as environments sum them; zeros before the first."""
    if not seen.weights:
        return np.zeros(len(closes))
    growth = closes / np.array(seen.closes)
    return drifted(np.array(seen.weights)[:, np.newaxis], growth[:, np.newaxis])[:, 0]


def split(seen: Seen, index: int, ratio: float) -> None:
    """Bring an instrument's remembered prices and volumes onto the scale after a split of ratio new units for one."""
    if not seen.closes:
        return
    seen.closes[index] /= ratio
    for prices in (seen.indicators.closes, seen.indicators.averages):
        prices[:, index] /= ratio
    seen.indicators.volumes[:, index] *= ratio
