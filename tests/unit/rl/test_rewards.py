from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rl import RewardFunction
from rl.rewards import (
    BUILT_IN,
    Composite,
    DifferentialSharpe,
    DrawdownPenalty,
    ExcessReturn,
    LogReturn,
    Rewards,
    TurnoverPenalty,
    is_vectorised,
    parse_reward,
)
from streams.errors import ConfigError, InvalidData

COUNT, STEPS, INSTRUMENTS = 4, 60, 3


class CustomRewardFunction(RewardFunction):
    """The user guide's example, word for word."""

    def calculate_reward(self, state, action, next_state, portfolio_value, benchmark_value):  # type: ignore[no-untyped-def]
        # Custom reward calculation
        excess_return = (portfolio_value - benchmark_value) / benchmark_value
        volatility_penalty = np.std(portfolio_value) * 0.1
        return excess_return - volatility_penalty


class StepsInEpisode(RewardFunction):
    """Counts, so that what is kept from one episode to the next shows."""

    def reset(self, portfolio_value: float, benchmark_value: float) -> None:
        assert isinstance(portfolio_value, float)
        self.steps = 0

    def calculate_reward(
        self, state: Any, action: Any, next_state: Any, portfolio_value: float, benchmark_value: float
    ) -> float:
        assert (state.shape, action.shape, type(portfolio_value)) == ((5,), (INSTRUMENTS,), float)
        self.steps += 1
        return float(self.steps)


def course() -> tuple[Any, ...]:
    """Return what four environments live through: observations, actions, values, benchmark values, ends."""
    rng = np.random.default_rng(3)
    states = rng.normal(size=(STEPS + 1, COUNT, 5)).astype(np.float32)
    actions = rng.random((STEPS, COUNT, INSTRUMENTS))
    values = 1e6 * np.exp(np.cumsum(rng.normal(0, 0.02, (STEPS + 1, COUNT)), axis=0))
    marks = 1e6 * np.exp(np.cumsum(rng.normal(0, 0.02, (STEPS + 1, COUNT)), axis=0))
    return states, actions, values, marks, rng.random((STEPS, COUNT)) < 0.1


def played(reward: RewardFunction) -> Any:
    states, actions, values, marks, ends = course()
    rewards = Rewards(reward, COUNT)
    rewards.reset(np.ones(COUNT, np.bool_), values[0], marks[0])
    found = np.empty((STEPS, COUNT))
    for step in range(STEPS):
        found[step] = rewards.of(states[step], actions[step], states[step + 1], values[step + 1], marks[step + 1])
        if ends[step].any():
            rewards.reset(ends[step], values[step + 1], marks[step + 1])
    return found


def played_one_by_one(reward_of: Any) -> Any:
    states, actions, values, marks, ends = course()
    found = np.empty((STEPS, COUNT))
    for env in range(COUNT):
        reward = reward_of()
        reward.reset(float(values[0, env]), float(marks[0, env]))
        for step in range(STEPS):
            after = (float(values[step + 1, env]), float(marks[step + 1, env]))
            found[step, env] = reward.calculate_reward(
                states[step, env], actions[step, env], states[step + 1, env], *after
            )
            if ends[step, env]:
                reward.reset(*after)
    return found


ALL = {name: {} for name in BUILT_IN} | {"turnover_penalty": {"weight": 0.1}, "drawdown_penalty": {"weight": 0.5}}


@pytest.mark.parametrize("given", [*BUILT_IN, ALL], ids=[*BUILT_IN, "composite"])
def test_many_environments_at_once_are_as_one_by_one(given: Any) -> None:
    assert is_vectorised(parse_reward(given))
    found = played(parse_reward(given))
    assert found == pytest.approx(played_one_by_one(lambda: parse_reward(given)), rel=1e-12, abs=1e-12)
    assert np.unique(found).size > STEPS


def test_the_rewards_by_hand() -> None:
    log, excess, drawdown = LogReturn(), ExcessReturn(), DrawdownPenalty()
    for reward in (log, excess, drawdown):
        reward.reset(100.0, 50.0)
    nothing = (None, None, None)
    assert log.calculate_reward(*nothing, 110.0, 50.0) == pytest.approx(math.log(1.1))
    assert log.calculate_reward(*nothing, 99.0, 50.0) == pytest.approx(math.log(0.9))
    assert excess.calculate_reward(*nothing, 110.0, 55.0) == pytest.approx(0)
    assert excess.calculate_reward(*nothing, 110.0, 44.0) == pytest.approx(-math.log(0.8))
    assert [float(drawdown.calculate_reward(*nothing, value, 1.0)) for value in (120.0, 90.0, 120.0, 240.0, 60.0)] == [
        0,
        -0.25,
        0,
        0,
        -0.75,
    ]
    turnover = TurnoverPenalty()
    state = np.array([9, 9, 0.5, 0.25, 0.25])  # two features, two weights, cash
    assert turnover.calculate_reward(state, np.array([0.25, 0.75]), None, 1.0, 1.0) == -0.75
    both = Composite([(2.0, LogReturn()), (0.1, TurnoverPenalty())])
    both.reset(1.0, 1.0)
    assert both.calculate_reward(state, np.array([0.25, 0.75]), None, math.e, 1.0) == pytest.approx(2 - 0.075)


def test_the_differential_sharpe_ratio_by_hand() -> None:
    reward = DifferentialSharpe(adaptation=0.5, volatility=0.1)
    reward.reset(100.0, 1.0)
    # A 0, B 0.01, R 0.1: dA 0.1, dB 0; D = 0.001 / 0.001
    assert reward.calculate_reward(None, None, None, 110.0, 1.0) == pytest.approx(1)
    # A 0.05, B 0.01, R -0.1: dA -0.15, dB 0; D = -0.0015 / 0.0075^1.5
    assert reward.calculate_reward(None, None, None, 99.0, 1.0) == pytest.approx(-0.0015 / 0.0075**1.5)
    # A -0.025, B 0.01, R 0.2: dA 0.225, dB 0.03; D = (0.00225 + 0.0125 x 0.03) / 0.009375^1.5
    assert reward.calculate_reward(None, None, None, 118.8, 1.0) == pytest.approx(
        (0.00225 + 0.0125 * 0.03) / 0.009375**1.5
    )


def test_the_differential_sharpe_ratio_is_the_derivative_of_the_sharpe_ratio() -> None:
    """Moody and Saffell's definition: the change of A / sqrt(B - A^2) in adaptation, at 0."""
    mean, square, change = 0.003, 0.0005, 0.02

    def ratio(adaptation: float) -> float:
        a, b = mean + adaptation * (change - mean), square + adaptation * (change**2 - square)
        return a / math.sqrt(b - a * a)

    reward = DifferentialSharpe(volatility=0.01)
    reward.reset(1.0, 1.0)
    reward._mean, reward._square = np.array(mean), np.array(square)
    slope = (ratio(1e-6) - ratio(-1e-6)) / 2e-6
    assert reward.calculate_reward(None, None, None, 1 + change, 1.0) == pytest.approx(slope, rel=1e-6)


def test_a_first_trade_after_long_rest_has_a_bounded_reward() -> None:
    reward = DifferentialSharpe()
    reward.reset(100.0, 1.0)
    for _ in range(5000):
        assert abs(reward.calculate_reward(None, None, None, 100.0, 1.0)) < 1
    assert 0 < reward.calculate_reward(None, None, None, 101.0, 1.0) < 100


def test_ruin_has_a_finite_reward() -> None:
    for name in BUILT_IN:
        reward = parse_reward(name)
        reward.reset(100.0, 100.0)
        state, action = np.zeros(5), np.ones(2)
        assert -110 < reward.calculate_reward(state, action, state, -5.0, 100.0) < 0


def test_the_guides_reward_runs_unchanged() -> None:
    _, _, values, marks, _ = course()
    assert not is_vectorised(CustomRewardFunction())
    assert played(CustomRewardFunction()) == pytest.approx((values[1:] - marks[1:]) / marks[1:])


def test_what_a_users_reward_keeps_is_of_one_episode_of_one_environment() -> None:
    *_, ends = course()
    found = played(StepsInEpisode())
    for env in range(COUNT):
        since = 0
        for step in range(STEPS):
            since += 1
            assert found[step, env] == since
            since = 0 if ends[step, env] else since


def test_a_subclass_of_a_built_in_reward_is_called_for_each_environment() -> None:
    class OnlyGains(LogReturn):
        def calculate_reward(self, *step: Any) -> Any:
            reward = super().calculate_reward(*step)
            return reward if reward > 0 else 0.0

    assert not is_vectorised(OnlyGains())
    assert not is_vectorised(Composite([(1.0, LogReturn()), (1.0, OnlyGains())]))
    plain = played(LogReturn())
    assert played(OnlyGains()) == pytest.approx(np.maximum(plain, 0))
    both = played(Composite([(1.0, LogReturn()), (1.0, OnlyGains())]))
    assert both == pytest.approx(plain + np.maximum(plain, 0))


def test_a_reward_that_is_not_finite_is_refused() -> None:
    class Wrong(RewardFunction):
        def calculate_reward(self, *step: Any) -> float:
            return math.nan

    with pytest.raises(InvalidData, match="Wrong gave a reward that is not finite"):
        played(Wrong())


def test_rewards_are_read_from_a_configuration() -> None:
    assert isinstance(parse_reward("excess_return"), ExcessReturn)
    assert isinstance(parse_reward({"log_return": None}), LogReturn)
    sharpe = parse_reward({"differential_sharpe": {"adaptation": 0.05}})
    assert isinstance(sharpe, DifferentialSharpe)
    assert (sharpe.adaptation, sharpe.volatility) == (0.05, 0.01)
    both = parse_reward({"log_return": {}, "turnover_penalty": {"weight": 0.1}})
    assert isinstance(both, Composite)
    assert [(weight, type(part)) for weight, part in both.parts] == [(1.0, LogReturn), (0.1, TurnoverPenalty)]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("sharpe", r"Unknown reward 'sharpe', expected one of \('log_return'"),
        ({}, "a reward is a name or a mapping"),
        (["log_return"], "a reward is a name or a mapping"),
        ({"log_return": 2}, "log_return: expected its parameters, got 2"),
        ({"log_return": {"weight": "x"}}, "log_return: expected numbers, got {'weight': 'x'}"),
        ({"log_return": {"weight": math.nan}}, "expected numbers"),
        ({"log_return": {"horizon": 3}}, "log_return: .*horizon|takes no arguments"),
        ({"differential_sharpe": {"adaptation": 1.5}}, "adaptation 1.5 must lie in"),
    ],
)
def test_a_wrong_configuration_is_refused(given: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_reward(given)
    with pytest.raises(ConfigError, match="at least one part"):
        Composite([])
