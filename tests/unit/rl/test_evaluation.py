"""What rules earn: against hand-worked money, and against each other."""

from __future__ import annotations

import numpy as np
import pytest

from agents.transaction_cost.model import CostModel
from rl import RLAlgorithm
from rl.baselines import BASELINES, buy_and_hold, equal_weight, least_variance
from rl.evaluation import bias, evaluate, follow, saturation
from rl.market import Market
from rl.minimum_variance import minimum_variance
from rl.panel import sp500
from rl.policy import Policy
from rl.rewards import LogReturn
from rl.rules import TradingRules
from streams.errors import MissingData

RATE = 0.001
RULES = TradingRules(
    fill="next_close",
    lot_size=1e-6,
    costs=CostModel(commission_rate=RATE, half_spread_bps=0.0, impact_coefficient=0.0),
)


@pytest.fixture(scope="module")
def whole() -> Market:
    return Market.of(sp500().of_instruments(["AAPL", "MSFT", "JNJ"])).between("1991-01-01", "1996-12-31")


@pytest.fixture(scope="module")
def span(whole: Market) -> Market:
    return whole.between("1994-01-01", "1994-12-31")


def constant(market: Market, output: float) -> Policy:
    """A policy whose tanh head always gives the same number."""
    count = len(market.panel.instrument_ids)
    weight = np.zeros((market.observation_size, count), np.float32)
    bias = np.full(count, output, np.float32)
    low, high = np.zeros(count, np.float32), np.ones(count, np.float32)
    return Policy(RLAlgorithm.TD3, ((weight, bias),), low, high)


def test_buy_and_hold_by_hand(whole: Market, span: Market) -> None:
    """0.95 of the cash in three equal parts at the second close, a commission on it, nothing traded after."""
    found = follow(buy_and_hold(whole, span), span, RULES)
    closes, cash = span.panel.closes, RULES.initial_cash
    shares = 0.95 * cash / 3 / closes[0]
    spent = float(shares @ closes[1])
    expected = cash - spent * (1 + RATE) + closes[1:] @ shares
    assert found.equity[1:] == pytest.approx(expected, rel=1e-8)
    assert found.equity[0] == cash
    assert found.cost.sum() == pytest.approx(spent * RATE, rel=1e-6)
    assert (found.turnover[1:] == 0).all()


def test_equal_weight_trades_on_the_first_session_of_a_month(whole: Market, span: Market) -> None:
    found = follow(equal_weight(whole, span), span, RULES)
    months = [date[:7] for date in span.panel.session_dates]
    first = [row for row, month in enumerate(months[:-1]) if row == 0 or months[row - 1] != month]
    assert np.flatnonzero(found.turnover > 1e-9).tolist() == first
    assert found.weights[first] == pytest.approx(np.full((12, 3), 0.95 / 3))


def test_minimum_variance_reads_a_year_back_and_nothing_ahead(whole: Market, span: Market) -> None:
    rule = least_variance(whole, span)
    at = len(whole.between(None, "1993-12-31"))
    known = whole.panel.closes[at - 252 : at + 1]
    decided = rule(0, np.empty(0, np.float32))
    assert decided is not None
    assert decided == pytest.approx(minimum_variance(np.cov((known[1:] / known[:-1] - 1).T)))
    early = whole.between("1991-02-01", "1991-12-31")
    with pytest.raises(MissingData, match="252 rows before"):
        least_variance(whole, early)


def test_one_share_alone_is_the_least_variance() -> None:
    alone = Market.of(sp500().of_instruments(["AAPL"])).between("1991-01-01", "1994-12-31")
    year = alone.between("1994-01-01", "1994-12-31")
    first = least_variance(alone, year)(0, np.zeros(1, np.float32))
    assert first is not None
    assert first.tolist() == [1.0]


@pytest.mark.parametrize("name", BASELINES)
def test_a_decision_rests_on_the_past_alone(name: str, whole: Market, span: Market) -> None:
    """Cutting the data off after row 100 leaves everything up to it as it was."""
    cut = len(whole.between(None, span.panel.session_dates[100]))
    known = whole[:cut]
    shorter = known.between(span.panel.session_dates[0], None)
    full, part = (follow(BASELINES[name](*each), each[1], RULES) for each in ((whole, span), (known, shorter)))
    assert np.array_equal(full.equity[: len(part.equity)], part.equity)


def test_higher_costs_leave_less(whole: Market, span: Market) -> None:
    dear = RULES.model_copy(update={"costs": RULES.costs.model_copy(update={"commission_rate": 0.0025})})
    cheap, costly = (follow(equal_weight(whole, span), span, rules) for rules in (RULES, dear))
    assert costly.equity[-1] < cheap.equity[-1]
    assert costly.cost.sum() == pytest.approx(2.5 * cheap.cost.sum(), rel=0.01)


def test_a_constant_policy_is_daily_equal_weight(span: Market) -> None:
    policy = evaluate(constant(span, 0.0), span, RULES)
    rule = follow(lambda *_: np.full(3, 0.5), span, RULES)
    assert np.array_equal(policy.equity, rule.equity)
    figures = policy.figures()
    gains = np.diff(policy.equity)
    assert figures["win_rate"] == (gains > 0).sum() / (gains != 0).sum()
    assert figures["cost_share"] == pytest.approx(policy.cost.sum() / RULES.initial_cash)
    assert policy.score == pytest.approx(np.log(policy.equity[-1] / policy.equity[0]) / (len(span) - 1))


def test_saturation_counts_actions_at_their_bounds(span: Market) -> None:
    assert saturation(constant(span, 9.0), span) == 1.0
    assert saturation(constant(span, -9.0), span) == 1.0
    assert saturation(constant(span, 0.0), span) == 0.0


def test_the_bias_of_a_critic_that_knows_is_nought(whole: Market) -> None:
    """A critic that says the mean return is 0 off; one that adds three standard deviations is 3 off."""
    policy, told = constant(whole, 0.0), {"gamma": 0.9, "reward_scale": 100.0}
    rewards = evaluate(policy, whole, RULES).rewards * 100
    returns = np.zeros(len(rewards) + 1)
    for row in range(len(rewards) - 1, -1, -1):
        returns[row] = rewards[row] + 0.9 * returns[row + 1]
    kept = returns[: len(rewards) - 44]  # 0.9 ** 44 < 0.01
    for off in (0.0, 3.0):
        level = kept.mean() + off * kept.std()
        found = bias(lambda seen, level=level: np.full(len(seen), level), policy, whole, RULES, LogReturn(), **told)
        assert found == pytest.approx(off, abs=1e-9)
    assert bias(lambda seen: seen[:, 0], policy, whole[:40], RULES, LogReturn(), gamma=0.99) is None
