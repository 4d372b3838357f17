from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import ClipReward, RecordEpisodeStatistics
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agents.data.sources import SampleProvider
from agents.portfolio.financing import FinancingModel
from agents.transaction_cost.model import CostModel
from rl.env import TradingEnv
from rl.market import Market, observation
from rl.panel import Panel, sp500
from rl.rewards import LogReturn, RewardFunction, parse_reward
from rl.rules import TradingRules, drifted
from rl.trading import Trading
from rl.vector_env import VectorTradingEnv
from streams.errors import ConfigError, InvalidData

FREE = CostModel(commission_rate=0, half_spread_bps=0, impact_coefficient=0)
CLOSES = TradingRules(fill="next_close", costs=CostModel(impact_coefficient=0))


@pytest.fixture(scope="module")
def market() -> Market:
    """Return a year and a half of three real shares."""
    provider = SampleProvider()
    panel = Panel.of([block for name in ("AAPL", "IBM", "MSFT") for block in provider.bars(name, "1d", None, None)])
    return Market.of(panel[2000:2450])


def market_of(*rows: list[float], opens: Any = None, volumes: Any = None) -> Market:
    """Return a market whose rows with features have these closes, after a warm-up at the first ones."""
    closes = np.array([[first * (1.001 if row % 2 else 1) for first in rows[0]] for row in range(60)] + list(rows))

    def padded(given: Any) -> Any:
        return None if given is None else np.concatenate([np.full((60, closes.shape[1]), 1e9), np.array(given)])

    days = np.arange(np.datetime64("2001-01-01"), np.datetime64("2001-01-01") + len(closes))
    panel = Panel(
        instrument_ids=tuple("ABCDEF"[: closes.shape[1]]),
        interval="1d",
        times=days.astype(np.int64) * 86_400 * 10**9,
        session_dates=tuple(map(str, days)),
        closes=closes,
        opens=padded(opens),
        volumes=padded(volumes),
        adjustment="raw",
        source="by hand",
        synthetic=True,
    )
    return Market.of(panel)


def test_gymnasiums_checker_has_nothing_to_say(market: Market) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rules in (TradingRules(), TradingRules(allow_short=True, episode_steps=40)):
            check_env(TradingEnv(market, rules), skip_render_check=True)


def test_it_goes_through_gymnasiums_wrappers(market: Market) -> None:
    env: Any = TradingEnv(market, TradingRules(episode_steps=300))
    env = gymnasium.wrappers.TimeLimit(env, 25)
    env = gymnasium.wrappers.RecordEpisodeStatistics(env)
    env = gymnasium.wrappers.RescaleAction(env, np.float32(-1), np.float32(1))
    env = gymnasium.wrappers.NormalizeObservation(env)
    env.reset(seed=1)
    for step in range(25):
        *_, terminated, truncated, info = env.step(env.action_space.sample())
        assert (terminated, truncated) == (False, step == 24)
    assert info["episode"]["l"] == 25
    assert info["episode"]["r"] == pytest.approx(np.log(info["equity"] / 1e6), abs=1e-6)
    # Gymnasium's wrappers that change observations refuse SAME_STEP
    many: Any = ClipReward(RecordEpisodeStatistics(vector(market, 3, episode_steps=20)), -1, 1)
    many.reset(seed=1)
    for step in range(1, 41):
        *_, infos = many.step(many.action_space.sample())
        assert ("final_obs" in infos) == ("episode" in infos) == (step % 20 == 0)
    assert infos["episode"]["l"].tolist() == [20, 20, 20]
    assert infos["episode"]["r"] == pytest.approx(np.log(infos["equity"] / 1e6), abs=1e-6)


def vector(market: Market, count: int, reward: RewardFunction | None = None, **rules: Any) -> VectorTradingEnv:
    return VectorTradingEnv(market, TradingRules(**rules), reward or LogReturn(), count)


def test_a_step_by_hand() -> None:
    market = market_of(
        [100.0, 50.0],
        [110.0, 45.0],
        [99.0, 54.0],
        opens=[[100.0, 50.0], [104.0, 48.0], [105.0, 50.0]],
        volumes=[[1e9, 1e9]] * 3,
    )
    costs = CostModel(commission_rate=0.01, half_spread_bps=50, impact_coefficient=0)
    rules = TradingRules(initial_cash=10_000, costs=costs, cash_buffer=0.0, gross_cap=0.9, max_gross=1.0)
    env = TradingEnv(market, rules)
    env.reset(seed=0)
    *_, info = env.step(np.array([0.3, 0.5]))
    # 30 A and 100 B at 104 and 48, half a percent worse, and a percent of that
    paid = (30 * 104 + 100 * 48) * 1.005
    assert info["cost"] == pytest.approx(7920 * 0.005 + paid * 0.01)
    assert info["turnover"] == pytest.approx(0.792)
    equity = 10_000 - paid * 1.01 + 30 * 110 + 100 * 45
    assert info["equity"] == pytest.approx(equity)
    seen, reward, terminated, truncated, info = env.step(np.array([0.0, 0.9]))
    # equity 9760.804: 0.9 of it are 195.2 B at 45, so 95 more; all A is sold, at 105
    assert int(0.9 * equity / 45) == 195
    sold, bought = 30 * 105 * 0.995, 95 * 50 * 1.005
    after = 10_000 - paid * 1.01 + sold * 0.99 - bought * 1.01 + 195 * 54
    assert info["equity"] == pytest.approx(after)
    assert reward == pytest.approx(np.log(after / equity))
    assert (terminated, truncated) == (False, True)
    drifted_weight = 0.9 * 54 / 45 / (1 + 0.9 * (54 / 45 - 1))
    assert seen[-3:] == pytest.approx([0, drifted_weight, 1 - drifted_weight])
    # the benchmark wants 0.5 each, scaled to leave 1 % for commission: 49 A and 99 B
    assert int(10_000 / 1.01 / 2 / 100) == 49
    assert int(10_000 / 1.01 / 2 / 50) == 99
    spent = (49 * 104 + 99 * 48) * 1.005 * 1.01
    assert info["benchmark"] == pytest.approx(10_000 - spent + 49 * 99 + 99 * 54)


def test_participation_limits_what_is_traded() -> None:
    closes, volumes = [[100.0]] * 4, [[1000.0], [95.0], [0.0], [1e6]]
    market = market_of(*closes, opens=closes, volumes=volumes)
    rules = TradingRules(initial_cash=10_000, costs=FREE.model_copy(update={"max_participation": 0.5}))
    env = TradingEnv(market, rules)
    env.reset()
    traded = [env.step(np.array([0.9]))[-1]["turnover"] for _ in range(3)]
    assert traded == pytest.approx([0.47, 0, 0.43])


def test_ruin_terminates_and_is_no_truncation() -> None:
    rules = TradingRules(
        allow_short=True, fill="next_close", costs=FREE, gross_cap=1.0, max_gross=3.0, initial_cash=1000, cash_buffer=0
    )
    market = market_of([10.0], [10.0], [100.0], [10.0])
    env = TradingEnv(market, rules)
    env.reset()
    *_, terminated, truncated, info = env.step(np.array([-1.0]))
    assert (terminated, truncated, info["equity"]) == (False, False, 1000)
    seen, reward, terminated, truncated, info = env.step(np.array([-1.0]))
    # 100 units short at 10, filled at the close of 10, then 100
    assert (terminated, truncated, info["equity"]) == (True, False, -8000)
    assert np.isfinite(seen).all()
    assert np.isfinite(reward)
    assert env.observation_space.contains(seen)
    with pytest.raises(ConfigError, match="reset before the next step"):
        env.step(np.array([0.0]))
    # ruin at the very end of the data is ruin
    end = market_of([10.0], [10.0], [100.0])
    last = TradingEnv(end, rules)
    last.reset()
    last.step(np.array([-1.0]))
    assert last.step(np.array([-1.0]))[2:4] == (True, False)


def test_the_end_of_the_data_truncates(market: Market) -> None:
    env = TradingEnv(market)
    with pytest.raises(ConfigError, match="reset before the next step"):
        env.step(np.zeros(3))
    env.reset()
    ends = [env.step(np.full(3, 0.3))[2:4] for _ in range(len(market) - 1)]
    assert ends[-1] == (False, True)
    assert not any(map(any, ends[:-1]))
    with pytest.raises(ConfigError, match="reset before the next step"):
        env.step(np.zeros(3))


def test_environments_in_one_are_as_each_alone(market: Market) -> None:
    rules = {"episode_steps": 30, "allow_short": True, "gross_cap": 1.5, "max_gross": 2.0}
    many = vector(market, 5, parse_reward({"log_return": {}, "turnover_penalty": {"weight": 0.1}}), **rules)
    alone = [
        TradingEnv(market, many.trading.rules, parse_reward({"log_return": {}, "turnover_penalty": {"weight": 0.1}}))
        for _ in range(5)
    ]
    observations, infos = many.reset(seed=11)
    for index, env in enumerate(alone):
        seen, info = env.reset(seed=11 + index)
        assert (seen == observations[index]).all()
        assert info["equity"] == infos["equity"][index] == 1e6
    rng = np.random.default_rng(5)
    for step in range(95):
        actions = rng.uniform(-1, 1, (5, 3)).astype(np.float32)
        before = {name: values.copy() for name, values in infos.items() if name in ("equity", "cost")}
        kept = infos
        observations, rewards, terminated, truncated, infos = many.step(actions)
        assert all((kept[name] == values).all() for name, values in before.items()), "infos are not written over"
        assert truncated.all() == (step % 30 == 29)
        for index, env in enumerate(alone):
            seen, reward, *ends, info = env.step(actions[index])
            assert ends == [terminated[index], truncated[index]]
            assert reward == pytest.approx(rewards[index], rel=1e-9, abs=1e-12)
            for name in ("equity", "benchmark", "cost", "turnover"):
                assert info[name] == pytest.approx(infos[name][index], rel=1e-12)
            if any(ends):
                assert infos["final_obs"][index] == pytest.approx(seen, abs=1e-6)
                assert infos["final_info"]["equity"][index] == infos["equity"][index]
                seen, _ = env.reset()
            assert observations[index] == pytest.approx(seen, abs=1e-6)


def test_same_step_autoreset_and_seeds(market: Market) -> None:
    env = vector(market, 4, episode_steps=10)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert env.action_space.shape == (4, 3)
    assert env.single_observation_space.shape == (3 * 10 + 4,)

    def starts(seed: Any) -> list[list[int]]:
        env.reset(seed=seed)
        found = [env.trading.rows.tolist()]
        for step in range(1, 31):
            observations, _, _, truncated, infos = env.step(np.full((4, 3), 0.3, np.float32))
            assert truncated.all() == ("final_obs" in infos) == (step % 10 == 0)
            if truncated.all():
                found.append(env.trading.rows.tolist())
                assert (observations[:, -4:] == [0, 0, 0, 1]).all()
                assert (infos["final_obs"][:, -1] < 0.2).all()
                assert env.observation_space.contains(observations)
        return found

    first = starts(7)
    assert first == starts(7)
    assert first == starts([7, 8, 9, 10])
    assert first[0] != first[1]
    assert len({row for rows in first for row in rows}) > 8
    other = starts([7, 9, 8, 10])
    assert [rows[0] for rows in other] == [rows[0] for rows in first]
    assert [rows[1] for rows in other] == [rows[2] for rows in first]
    with pytest.raises(ConfigError, match="expected 4 seeds, got 2"):
        env.reset(seed=[1, 2])


def test_random_starts_reach_the_whole_market(market: Market) -> None:
    env = vector(market, 64, episode_steps=len(market) - 3)
    env.reset(seed=0)
    assert set(env.trading.rows.tolist()) == {0, 1, 2}


def test_a_step_knows_nothing_of_later_rows(market: Market) -> None:
    cut = 200
    later = replace(
        market.panel,
        closes=np.concatenate([market.panel.closes[:cut], market.panel.closes[cut:][::-1] * 1.3]),
        opens=np.concatenate([market.panel.opens[:cut], market.panel.opens[cut:] * 0.7]),  # type: ignore[index]
        volumes=np.concatenate([market.panel.volumes[:cut], market.panel.volumes[cut:] * 3]),  # type: ignore[index]
    )
    one, other = (Market.of(panel) for panel in (market.panel, later))
    last = cut - 1 - (len(market) - len(one))
    envs = [TradingEnv(each, TradingRules(allow_short=True)) for each in (one, other)]
    rng = np.random.default_rng(2)
    for env in envs:
        env.reset(seed=1)
    for step in range(1, last + 2):
        action = rng.uniform(-1, 1, 3)
        results = [env.step(action) for env in envs]
        same = [
            np.array_equal(results[0][0], results[1][0]),
            results[0][1] == results[1][1],
            results[0][4] == results[1][4],
        ]
        assert all(same) == (step <= last), step


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    short=st.booleans(),
    at_open=st.booleans(),
    costs=st.builds(
        CostModel,
        commission_rate=st.floats(0, 0.02),
        half_spread_bps=st.floats(0, 50),
        impact_coefficient=st.one_of(st.just(0.0), st.floats(0.01, 0.5)),
    ),
    gross=st.sampled_from([0.5, 0.95, 1.0, 1.5]),
    cash=st.floats(100, 1e9),
    lot=st.sampled_from([0.001, 1.0, 100.0]),
)
def test_cash_and_positions_are_equity_and_every_change_is_explained(
    market: Market, seed: int, short: bool, at_open: bool, costs: CostModel, gross: float, cash: float, lot: float
) -> None:
    rules = TradingRules(
        initial_cash=cash,
        allow_short=short,
        costs=costs,
        fill="next_open" if at_open else "next_close",
        gross_cap=gross,
        max_gross=max(gross, 1.0),
        lot_size=lot,
    )
    env = VectorTradingEnv(market, rules, LogReturn(), 4)
    env.reset(seed=0)
    accounts, panel = env.trading.accounts, market.panel
    rng = np.random.default_rng(seed)
    assert panel.opens is not None
    assert panel.volumes is not None
    for row in range(1, 25):
        held, equity, old_cash = accounts.lots * lot, accounts.equity.copy(), accounts.cash.copy()
        _, _, _, _, infos = env.step(rng.uniform(-1 if short else 0, 1, (4, 3)))
        units = accounts.lots * lot
        close, before = panel.closes[row][:, None], panel.closes[row - 1][:, None]
        price = panel.opens[row][:, None] if at_open else close
        assert infos["equity"] == pytest.approx(accounts.cash + (units * close).sum(axis=0), rel=1e-12)
        change = units - held
        assert accounts.cash == pytest.approx(old_cash - (change * price).sum(axis=0) - infos["cost"], abs=1e-9 * cash)
        moved = (held * (close - before)).sum(axis=0) + (change * (close - price)).sum(axis=0)
        assert infos["equity"] - equity == pytest.approx(moved - infos["cost"], abs=1e-8 * cash)
        assert infos["turnover"] == pytest.approx((np.abs(change) * price).sum(axis=0) / equity, rel=1e-9)
        assert np.abs(accounts.lots - np.rint(accounts.lots)).max() == 0
        assert (np.abs(change) <= costs.max_participation * panel.volumes[row][:, None] + 1e-6).all()
        expected = _cost(costs, change[:, 0], price, panel.volumes[row], market.volatility[row])
        assert infos["cost"][0] == pytest.approx(expected, rel=1e-9, abs=1e-9)
        if not short:
            assert units.min() >= 0


def _cost(costs: CostModel, change: Any, price: Any, volume: Any, volatility: Any) -> float:
    total = 0.0
    for at, units in enumerate(change):
        if units:
            side: Any = "BUY" if units > 0 else "SELL"
            charge = costs.charge(
                side, abs(units), float(price[at, 0]), volume=volume[at], volatility=float(volatility[at])
            )
            total += charge.commission + charge.spread_cost + charge.impact_cost
    return total


def test_actions_are_clipped_and_scaled(market: Market) -> None:
    rules = TradingRules(gross_cap=0.9)
    assert rules.targets(np.array([0.9, 0.9, 0.0])).tolist() == pytest.approx([0.45, 0.45, 0])
    assert rules.targets(np.array([-3.0, 0.5, 0.1])).tolist() == [0, 0.5, 0.1]
    shorts = TradingRules(gross_cap=0.9, allow_short=True)
    assert shorts.targets(np.array([-3.0, 0.5, 0.3])).tolist() == pytest.approx([-0.5, 0.25, 0.15])
    assert shorts.targets(np.zeros((3, 2))).tolist() == [[0, 0]] * 3
    env = vector(market, 2)
    env.reset()
    with pytest.raises(InvalidData, match="not a number"):
        env.step(np.array([[0.1, np.nan, 0.1], [0.1, 0.1, 0.1]]))


def test_weights_drift_with_prices() -> None:
    assert drifted(np.array([0.5, 0.25]), np.array([1.2, 0.8])) == pytest.approx(np.array([0.6, 0.2]) / 1.05)
    assert drifted(np.array([-0.5]), np.array([1.1])) == pytest.approx(-0.55 / 0.95)


def test_a_live_pool_sees_what_the_environment_shows(market: Market) -> None:
    env = TradingEnv(market, TradingRules(allow_short=True))
    seen, _ = env.reset()
    weights: NDArray[np.float64] = np.zeros(3)
    assert (seen == observation(market.features[0], weights)).all()
    rng = np.random.default_rng(1)
    for row in range(1, 50):
        action = rng.uniform(-1, 1, 3).astype(np.float32)
        seen, *_ = env.step(action)
        growth = market.panel.closes[row] / market.panel.closes[row - 1]
        weights = drifted(env.trading.rules.targets(action.astype(np.float64)), growth)
        assert (seen == observation(market.features[row], weights)).all()


def test_what_is_held_stays_where_nothing_is_to_be_traded(market: Market) -> None:
    trading = Trading(market, TradingRules(), LogReturn(), 2)
    trading.begin(np.ones(2, np.bool_), [])
    trading.step(np.full((2, 3), 0.3))
    lots, shown = trading.accounts.lots.copy(), trading.weights.copy()
    trading.step(np.full((2, 3), 0.1), hold=np.array([True, False]))
    assert (trading.accounts.lots[:, 0] == lots[:, 0]).all()
    assert (trading.accounts.lots[:, 1] < lots[:, 1]).all()
    growth = market.panel.closes[2] / market.panel.closes[1]
    assert trading.weights[:, 0] == pytest.approx(drifted(shown[:, 0], growth))
    assert trading.accounts.turnover[0] == trading.accounts.cost[0] == 0


def test_rules_that_do_not_fit_the_market_are_refused(market: Market) -> None:
    closes = Market.of(sp500()[:200])
    with pytest.raises(ConfigError, match="closes only: fill must be next_close, got next_open"):
        TradingEnv(closes, TradingRules(costs=FREE))
    with pytest.raises(ConfigError, match=r"closes only: costs\.impact_coefficient must be 0, got 0.1"):
        TradingEnv(closes, TradingRules(fill="next_close"))
    assert TradingEnv(closes, CLOSES).reset()[0].shape == (20 * 9 + 21,)
    with pytest.raises(ConfigError, match="episode_steps is 1000, sample:bokeh-sampledata has 389 steps"):
        TradingEnv(market, TradingRules(episode_steps=1000))
    with pytest.raises(ConfigError, match="at least 1 environment"):
        vector(market, 0)
    with pytest.raises(ValueError, match=r"gross_cap 2\.0 lies above max_gross 1.0"):
        TradingRules(gross_cap=2.0)
    with pytest.raises(ValueError, match="financing"):
        TradingRules(financing=FinancingModel(borrow_rate=0.01))  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="half spread and impact may come to"):
        TradingEnv(market, TradingRules(costs=CostModel(impact_coefficient=1000)))


def test_without_gymnasium_the_core_works_and_the_environments_name_the_extra() -> None:
    code = """
import sys
sys.modules["gymnasium"] = sys.modules["torch"] = None
from streams.errors import ConfigError
import rl.trading, rl.market, rl.panel, rl.rewards, rl.rules, rl.indicators
for name in ("rl.env", "rl.vector_env"):
    try:
        __import__(name)
    except ConfigError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("pip install 'finagent-orchestration[rl]'") == 2
