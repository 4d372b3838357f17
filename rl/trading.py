"""Trading: episodes of many environments on one market; what the Gymnasium environments are shells of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from agents.data.calendars import Int64
from rl.accounts import Accounts, Mask, Prices
from rl.market import Market
from rl.rewards import RewardFunction, Rewards
from rl.rows import Float32
from rl.rules import TradingRules, drifted
from schemas.columns import Float64
from streams.errors import ConfigError, InvalidData

LIMIT = 10.0
"""Weights and cash shares beyond are cut to it in observations."""


class Step(NamedTuple):
    """What a step led to; arrays of shape (E, ...), made anew for each step."""

    observations: Float32
    rewards: Float64
    terminated: Mask
    """Ruin: no equity is left."""
    truncated: Mask
    """The data or the episode's steps are at their end."""
    ended: bool
    """Whether any is either."""


class Trading:
    """E environments: an action at the close of row t is filled at t + 1, where the next observation is made."""

    def __init__(self, market: Market, rules: TradingRules, reward: RewardFunction, count: int) -> None:
        """Raise ConfigError where the rules do not fit the market."""
        self.last = len(market) - 1
        """The row that every episode ends at by the latest."""
        if rules.episode_steps > self.last:
            raise ConfigError(f"episode_steps is {rules.episode_steps}, {market.panel.source} has {self.last} steps")
        if count < 1:
            raise ConfigError(f"expected at least 1 environment, got {count}")
        self.market, self.rules, self.count = market, rules, count
        prices = Prices.of(market, rules)
        self.accounts = Accounts(prices, rules, count)
        self.rewards = Rewards(reward, count)
        instruments = len(market.panel.instrument_ids)
        self.size = market.observation_size
        # Weights and cash share of who cannot owe lie between 0 and 1 as they are.
        self._may_owe = rules.allow_short or rules.gross_cap > 1
        self._wide = np.zeros((len(market), self.size), np.float32)
        self._wide[:, : -instruments - 1] = market.features.reshape(len(market), -1)
        self._held = _buy_and_hold(prices, rules, instruments, self.last)
        self.rows: Int64 = np.zeros(count, np.int64)
        """The row that each environment stands at."""
        self._ends: Int64 = np.full(count, self.last)
        self._until_end = self.last
        """Steps that every environment can still take before one is at its end."""
        self._over = np.ones(count, np.bool_)
        """Environments that must begin an episode before the next step."""
        self._waiting = True
        self.weights = np.zeros((instruments, count))
        """The last target weights, drifted by prices."""
        self.benchmark = np.full(count, rules.initial_cash)
        """Equity of equal-weight buy and hold since the episode's start, net of the same costs; bought once, as far as
        participation allows."""
        self._benchmark_cash = self.benchmark.copy()
        self._benchmark_lots = np.zeros((instruments, count))
        self.observations: Float32 = np.zeros((count, self.size), np.float32)

    def begin(self, where: Mask, rngs: Sequence[np.random.Generator]) -> Float32:
        """Start episodes where the mask (E,) is true, and return all observations; rngs draw the first rows."""
        steps = self.rules.episode_steps
        for index in np.flatnonzero(where).tolist():
            first = int(rngs[index].integers(self.last - steps + 1)) if steps else 0
            self.rows[index] = first
            self._ends[index] = first + steps if steps else self.last
        self._until_end = int((self._ends - self.rows).min())
        started = self.rows[where]
        cash, lots = self._held
        self._benchmark_cash[where], self._benchmark_lots[:, where] = cash[started], lots[:, started]
        self.benchmark = np.where(where, self.rules.initial_cash, self.benchmark)
        self._over = self._over & ~where
        self._waiting = bool(self._over.any())
        self.accounts.open(where)
        self.weights[:, where] = 0
        self.rewards.reset(where, self.accounts.equity, self.benchmark)
        self.observations = self._observe()
        return self.observations

    def step(self, actions: Any, hold: Mask | None = None) -> Step:
        """Trade towards actions of shape (E, N); where the mask hold (E,) is true nothing is traded.

        Call begin for what has ended before the next step.
        """
        if self._waiting:
            raise ConfigError("an episode has ended, or none has begun: reset before the next step")
        weights = self.rules.targets(np.asarray(actions, np.float64).T)
        accounts, states = self.accounts, self.observations
        if hold is not None:
            weights[:, hold] = self.weights[:, hold]
        accounts.trade(self.rows, weights, hold)
        self.rows += 1
        self._until_end -= 1
        self.benchmark = np.add.reduce(self._benchmark_lots * accounts.marks, axis=0)
        self.benchmark += self._benchmark_cash
        self.weights = drifted(weights, accounts.growth)
        self.observations = self._observe()
        terminated, truncated, ended = self._ended(actions)
        rewards = self.rewards.of(states, weights.T, self.observations, accounts.equity, self.benchmark)
        return Step(self.observations, rewards, terminated, truncated, ended)

    def _ended(self, actions: Any) -> tuple[Mask, Mask, bool]:
        terminated = truncated = np.zeros(self.count, np.bool_)
        least = np.minimum.reduce(self.accounts.equity)
        if least > 0 and self._until_end > 0:
            return terminated, truncated.copy(), False
        if np.isnan(least):
            raise InvalidData(f"an action is not a number: {actions}")
        terminated = self.accounts.equity <= 0
        truncated = (self.rows >= self._ends) & ~terminated
        self._over = terminated | truncated
        self._waiting = bool(self._over.any())
        return terminated, truncated, self._waiting

    def figures(self) -> dict[str, Float64]:
        """Return equity, benchmark, and cost and turnover of the last step, each of shape (E,)."""
        accounts = self.accounts
        return {
            "equity": accounts.equity,
            "benchmark": self.benchmark,
            "cost": accounts.cost,
            "turnover": accounts.turnover,
        }

    def _observe(self) -> Float32:
        seen = self._wide.take(self.rows, axis=0)
        weights = self.weights
        shares = seen[:, -len(weights) - 1 :]
        shares[:, :-1] = weights.T
        shares[:, -1] = 1 - np.add.reduce(weights, axis=0)
        if self._may_owe:
            np.clip(shares, -LIMIT, LIMIT, out=shares)
        return seen


def _buy_and_hold(prices: Prices, rules: TradingRules, instruments: int, rows: int) -> tuple[Float64, Float64]:
    """Return cash (T - 1,) and lots (N, T - 1) of who put all cash into equal weights at each row, and holds them."""
    whole = rules.model_copy(update={"gross_cap": rules.max_gross})
    accounts = Accounts(prices, whole, rows)
    accounts.trade(np.arange(rows), whole.targets(np.full((instruments, rows), 1 / instruments)))
    return accounts.cash, accounts.lots
