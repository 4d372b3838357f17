"""empyrical-reloaded and scipy, run on the same returns, to 1e-9."""

import empyrical
import numpy as np
import pytest
from scipy import stats

from agents.metrics import distribution, drawdown, ratios, relative, returns
from tests.unit.agents.metrics.published import PUBLISHED, days_of, equity_of

DAILY = 252
RATE = 0.0001


def random_returns(seed, size=1000):
    generator = np.random.default_rng(seed)
    return generator.standard_t(4, size) * 0.01 + 0.0004


SAMPLES = {
    **PUBLISHED,
    **{f"random_{seed}": random_returns(seed) for seed in (1, 2, 3)},
    "whole_rank": random_returns(4, 101),
    "short": random_returns(5, 7),
}


@pytest.fixture(params=SAMPLES)
def changes(request):
    return SAMPLES[request.param]


@pytest.fixture
def benchmark(changes):
    return 0.5 * changes + np.random.default_rng(9).normal(0.0003, 0.01, len(changes))


def same(ours, theirs):
    assert ours == pytest.approx(float(theirs), rel=1e-9, abs=1e-9)


def test_returns(changes):
    equity = equity_of(changes)
    same(returns.total_return(equity), empyrical.cum_returns_final(changes))
    same(returns.annual_return(equity, days_of(changes, DAILY)), empyrical.annual_return(changes, annualization=DAILY))
    same(returns.volatility(changes, DAILY), empyrical.annual_volatility(changes, annualization=DAILY))
    np.testing.assert_allclose(returns.simple_returns(equity), changes, rtol=0, atol=1e-12)
    downside = empyrical.downside_risk(changes, RATE, annualization=DAILY)
    same(returns.downside_deviation(changes, RATE) * DAILY**0.5, downside)


def test_ratios(changes):
    same(ratios.sharpe_ratio(changes, DAILY, RATE), empyrical.sharpe_ratio(changes, RATE, annualization=DAILY))
    same(ratios.sortino_ratio(changes, DAILY, RATE), empyrical.sortino_ratio(changes, RATE, annualization=DAILY))
    equity, days = equity_of(changes), days_of(changes, DAILY)
    same(ratios.calmar_ratio(equity, days), empyrical.calmar_ratio(changes, annualization=DAILY))
    # Its required return is per year and compounds: 1 period a year leaves it as it is.
    same(ratios.omega_ratio(changes, RATE), empyrical.omega_ratio(changes, required_return=RATE, annualization=1))


def test_tails_and_shape(changes):
    same(drawdown.max_drawdown(equity_of(changes)), -empyrical.max_drawdown(changes))
    for level in (0.95, 0.99):
        same(distribution.value_at_risk(changes, level), -empyrical.value_at_risk(changes, 1 - level))
        theirs = empyrical.conditional_value_at_risk(changes, 1 - level)
        same(distribution.conditional_value_at_risk(changes, level), -theirs)
    same(distribution.skewness(changes), stats.skew(changes))
    same(distribution.kurtosis(changes), stats.kurtosis(changes))


def test_benchmark(changes, benchmark):
    same(relative.beta(changes, benchmark), empyrical.beta(changes, benchmark, RATE))
    ours = relative.alpha(changes, benchmark, DAILY, risk_free=RATE)
    same(ours, empyrical.alpha(changes, benchmark, RATE, annualization=DAILY))
    # Its excess Sharpe ratio is not annualised.
    theirs = empyrical.excess_sharpe(changes, benchmark) * DAILY**0.5
    same(relative.information_ratio(changes, benchmark, DAILY), theirs)
