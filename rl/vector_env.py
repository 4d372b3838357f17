"""Many trading environments at once, as Gymnasium's VectorEnv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rl.accounts import Mask
from rl.market import Market
from rl.rewards import RewardFunction
from rl.rows import Float32
from rl.rules import TradingRules
from rl.trading import LIMIT, Trading
from schemas.columns import Float64
from streams.errors import ConfigError

try:
    from gymnasium import spaces
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
except ModuleNotFoundError as missing:
    raise ConfigError("trading environments need gymnasium: pip install 'finagent-orchestration[rl]'") from missing


class VectorTradingEnv(VectorEnv[Float32, Any, Any]):
    """num_envs environments that trade one market; an ended episode is reset within the same step.

    Action: target weights of the instruments, Box 0 to 1, or -1 to 1 with shorts; scaled down where beyond gross_cap.
    Observation: features of all instruments, the last targets as prices have moved them, the share of cash. terminated:
    ruin; truncated: end of the data or of episode_steps. infos: arrays of shape (num_envs,), those of the step also
    where it ended an episode: equity; benchmark, that of equal-weight buy and hold since the episode's start, net of
    the same costs; cost, in the currency; turnover, value traded over equity before. Where an episode ended, final_obs
    and final_info hold its last observation and the same figures.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}  # noqa: RUF012, as Gymnasium declares it

    def __init__(self, market: Market, rules: TradingRules, reward: RewardFunction, num_envs: int = 1) -> None:
        """Raise ConfigError where the rules do not fit the market."""
        self.trading = Trading(market, rules, reward, num_envs)
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = spaces_of(self.trading)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rngs = [np.random.default_rng() for _ in range(num_envs)]

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32, dict[str, Any]]:
        """Start all environments anew; seed: that of the first, the others count on from it, or one for each."""
        if seed is None:
            seeds: Sequence[int | None] = [None] * self.num_envs
        elif isinstance(seed, Sequence):
            seeds = seed
        else:
            super().reset(seed=seed)
            seeds = [seed + n for n in range(self.num_envs)]
        if len(seeds) != self.num_envs:
            raise ConfigError(f"expected {self.num_envs} seeds, got {len(seeds)}")
        for index, own in enumerate(seeds):
            if own is not None:
                self._rngs[index] = np.random.default_rng(own)
        observations = self.trading.begin(np.ones(self.num_envs, np.bool_), self._rngs)
        return observations, dict(self.trading.figures())

    def step(self, actions: Any) -> tuple[Float32, Float64, Mask, Mask, dict[str, Any]]:
        """Trade one bar everywhere."""
        trading = self.trading
        observations, rewards, terminated, truncated, any_ended = trading.step(actions)
        infos: dict[str, Any] = dict(trading.figures())
        if any_ended:
            ended = terminated | truncated
            infos |= {"final_info": dict(infos), "_final_info": ended, "final_obs": observations, "_final_obs": ended}
            observations = trading.begin(ended, self._rngs)
        return observations, rewards, terminated, truncated, infos


def spaces_of(trading: Trading) -> tuple[spaces.Box, spaces.Box]:
    """Return the observation and the action space of one environment."""
    instruments = len(trading.market.panel.instrument_ids)
    low = -1.0 if trading.rules.allow_short else 0.0
    return (
        spaces.Box(-LIMIT, LIMIT, (trading.size,), np.float32),
        spaces.Box(low, 1.0, (instruments,), np.float32),
    )
