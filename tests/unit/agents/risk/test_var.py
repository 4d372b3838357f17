import numpy as np
import pytest

from agents.risk.var import assess, historical_var, portfolio_returns
from streams.errors import InvalidData, MissingData


def test_var_interpolates_between_order_statistics():
    # Ranks 0..4 of 5 returns; 0.05 x 4 = 0.2: between -0.10 and -0.04: -0.10 + 0.2 x 0.06 = -0.088.
    returns = np.array([0.02, -0.10, 0.01, -0.04, 0.03])
    assert historical_var(returns) == pytest.approx(0.088)
    # Level 0.75: rank 1 is -0.04.
    assert historical_var(returns, 0.75) == pytest.approx(0.04)


def test_var_of_gains_is_zero():
    assert historical_var(np.array([0.01, 0.02, 0.03])) == 0.0


def test_var_refuses_nonsense():
    with pytest.raises(MissingData):
        historical_var(np.empty(0))
    with pytest.raises(InvalidData, match="level is 1"):
        historical_var(np.array([0.1]), 1)


def test_assess_by_hand():
    # Returns +10 %, -20 %, +10 %: wealth 1, 1.1, 0.88, 0.968; drawdown 0.2. Mean 0, squares 0.01 + 0.04 + 0.01 = 0.06,
    # variance 0.03. Var: rank 0.05 x 2 = 0.1 between -0.2 and 0.1: -0.2 + 0.1 x 0.3 = -0.17.
    figures = assess({"A": np.array([100, 110, 88, 96.8])})
    assert figures["max_drawdown"] == pytest.approx(0.2)
    assert figures["volatility"] == pytest.approx((0.03 * 252) ** 0.5)
    assert figures["sharpe_ratio"] == pytest.approx(0, abs=1e-9)
    assert figures["var_95"] == pytest.approx(0.17)


def test_weights_are_held_fixed():
    closes = {"B": np.array([10.0, 9.0, 9.0]), "A": np.array([100.0, 120.0, 120.0])}
    assert portfolio_returns(closes).tolist() == pytest.approx([0.05, 0])
    assert portfolio_returns(closes, {"A": 0.25, "B": 0.5}).tolist() == pytest.approx([0.0, 0])


def test_returns_that_do_not_vary_have_no_sharpe_ratio():
    assert assess({"A": np.array([100.0, 101.0, 102.01, 103.0301])})["sharpe_ratio"] is None


def test_what_is_missing_or_does_not_match_is_an_error():
    with pytest.raises(MissingData, match="'A': 2"):
        assess({"A": np.array([1.0, 2.0])})
    with pytest.raises(MissingData):
        assess({})
    with pytest.raises(InvalidData, match="one length"):
        assess({"A": np.ones(4), "B": np.ones(5)})
    with pytest.raises(InvalidData, match="weights are for"):
        assess({"A": np.ones(4)}, {"B": 1.0})
    with pytest.raises(InvalidData, match="finite and positive"):
        assess({"A": np.array([1.0, 0.0, 1.0])})
