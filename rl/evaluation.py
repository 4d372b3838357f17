"""What a policy, or any rule, earns on a market: the same money for all, net of costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.data.calendars import Int64
from agents.metrics import performance_metrics
from rl.market import Market
from rl.policy import Policy
from rl.rewards import LogReturn, RewardFunction
from rl.rows import Float32
from rl.rules import TradingRules
from rl.trading import Trading
from schemas.columns import Float64

Decide = Callable[[int, Float32], Float64 | None]
"""(row, observation (observations,)) -> target weights (N,) before the rules cut them; None: hold what is held."""
AT_BOUNDS = 0.01
"""An action within this share of its range from a bound is at it."""


@dataclass(frozen=True)
class Evaluation:
    """One pass over a market from its first row to its last."""

    times: Int64
    """Ns UTC, shape (T,)."""
    equity: Float64
    """Net of costs, the start capital first, shape (T,)."""
    rewards: Float64
    """Shape (T - 1,)."""
    turnover: Float64
    """Value traded over equity before, shape (T - 1,)."""
    cost: Float64
    """Commission, spread and impact in the currency, shape (T - 1,)."""
    weights: Float64
    """What was aimed at; where it held, what prices had made of it; shape (T - 1, N)."""

    @property
    def score(self) -> float:
        """Return the mean reward of a step."""
        return float(self.rewards.mean())

    def figures(self) -> dict[str, float | None]:
        """Return performance_metrics, and win_rate (share of bars that gained), turnover per bar and cost_share.

        cost_share: all costs over the start capital.
        """
        found = performance_metrics(self.equity, self.times.tolist(), [])
        gains = np.diff(self.equity)
        moved = gains != 0
        own = {
            "win_rate": float((gains > 0).sum() / moved.sum()) if moved.any() else None,
            "turnover": float(self.turnover.mean()),
            "cost_share": float(self.cost.sum() / self.equity[0]),
        }
        return {**found, **own}


def evaluate(policy: Policy, market: Market, rules: TradingRules, reward: RewardFunction | None = None) -> Evaluation:
    """Let a policy decide without exploring at every bar; reward: what scores it, the log return unless given."""
    return follow(lambda _, seen: policy.act(seen[np.newaxis])[0].astype(np.float64), market, rules, reward)


def follow(decide: Decide, market: Market, rules: TradingRules, reward: RewardFunction | None = None) -> Evaluation:
    """Let a rule decide at every bar but the last; once no equity is left all stays as it is."""
    trading = Trading(market, rules.model_copy(update={"episode_steps": 0}), reward or LogReturn(), 1)
    seen = trading.begin(np.ones(1, np.bool_), [np.random.default_rng(0)])[0]
    hold, equity, rows = np.ones(1, np.bool_), [rules.initial_cash], []
    for row in range(len(market) - 1):
        wanted = decide(row, seen)
        actions = np.zeros((1, len(market.panel.instrument_ids))) if wanted is None else wanted[np.newaxis]
        aimed = trading.weights[:, 0] if wanted is None else rules.targets(np.array(wanted, np.float64))
        step = trading.step(actions, hold if wanted is None else None)
        figures = trading.figures()
        equity.append(float(figures["equity"][0]))
        rows.append((float(step.rewards[0]), float(figures["turnover"][0]), float(figures["cost"][0]), aimed))
        if step.terminated[0]:
            break
        seen = step.observations[0]
    rest = len(market) - len(equity)
    equity += [equity[-1]] * rest
    rows += [(0.0, 0.0, 0.0, np.zeros(len(market.panel.instrument_ids)))] * rest
    rewards, turnover, cost, weights = (np.array(column) for column in zip(*rows, strict=True))
    return Evaluation(market.panel.times, np.array(equity), rewards, turnover, cost, weights)


def saturation(policy: Policy, market: Market) -> float:
    """Return the share of the policy's actions at their bounds, where it sees each row's features and holds nothing."""
    instruments = len(market.panel.instrument_ids)
    seen = np.zeros((len(market), market.observation_size), np.float32)
    seen[:, : -instruments - 1] = market.features.reshape(len(market), -1)
    seen[:, -1] = 1
    actions = policy.act(seen)
    near = AT_BOUNDS * (policy.high - policy.low)
    return float(((actions - policy.low < near) | (policy.high - actions < near)).mean())


def bias(
    values: Callable[[Float32], Any],
    policy: Policy,
    market: Market,
    rules: TradingRules,
    reward: RewardFunction,
    *,
    gamma: float,
    reward_scale: float = 1.0,
) -> float | None:
    """Return how far a critic's values lie above the discounted rewards that followed, in their standard deviations.

    Rows whose rest of the market is too short for 99 % of the discounted weight do not count; none where all are.
    """
    seen: list[Float32] = []

    def decide(_: int, observation: Float32) -> Float64:
        seen.append(observation.copy())
        chosen: Float64 = policy.act(observation[np.newaxis])[0].astype(np.float64)
        return chosen

    rewards = follow(decide, market, rules, reward).rewards * reward_scale
    horizon = int(np.ceil(np.log(0.01) / np.log(gamma))) if 0 < gamma < 1 else 1
    if len(rewards) <= horizon:
        return None
    returns = np.zeros(len(rewards) + 1)
    for row in range(len(rewards) - 1, -1, -1):
        returns[row] = rewards[row] + gamma * returns[row + 1]
    kept = returns[: len(rewards) - horizon]
    apart = np.asarray(values(np.array(seen[: len(kept)])), np.float64) - kept
    spread = float(kept.std())
    return float(apart.mean() / spread) if spread > 0 else None
