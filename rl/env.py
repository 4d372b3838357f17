"""One trading environment, as Gymnasium's Env."""

from __future__ import annotations

from typing import Any

import numpy as np

from rl.market import Market
from rl.rewards import LogReturn, RewardFunction
from rl.rows import Float32
from rl.rules import TradingRules
from rl.trading import Trading
from rl.vector_env import spaces_of
from streams.errors import ConfigError

try:
    import gymnasium
except ModuleNotFoundError as missing:
    raise ConfigError("trading environments need gymnasium: pip install 'finagent-orchestration[rl]'") from missing


class TradingEnv(gymnasium.Env[Any, Any]):
    """VectorTradingEnv with one environment, which is not reset by itself; info has numbers in place of arrays."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012, as Gymnasium declares it

    def __init__(self, market: Market, rules: TradingRules | None = None, reward: RewardFunction | None = None) -> None:
        """Take the default rules and the log return where none are given; raise ConfigError where rules do not fit."""
        self.trading = Trading(market, rules or TradingRules(), reward or LogReturn(), 1)
        self.observation_space, self.action_space = spaces_of(self.trading)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32, dict[str, Any]]:
        """Start an episode; the first row is drawn where episode_steps is set."""
        super().reset(seed=seed)
        observations = self.trading.begin(np.ones(1, np.bool_), [self.np_random])
        return observations[0], self._info()

    def step(self, action: Any) -> tuple[Float32, float, bool, bool, dict[str, Any]]:
        """Trade one bar."""
        step = self.trading.step(np.asarray(action)[None])
        reward, terminated, truncated = float(step.rewards[0]), bool(step.terminated[0]), bool(step.truncated[0])
        return step.observations[0], reward, terminated, truncated, self._info()

    def _info(self) -> dict[str, Any]:
        return {name: float(values[0]) for name, values in self.trading.figures().items()}
