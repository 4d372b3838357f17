"""R PerformanceAnalytics' printed results, from tests/testthat/_snaps/all_snapshots.md of its repository.

Each expected value is a string, as printed; ours is held to half of its last digit.
"""

import pytest

from agents.metrics import distribution, drawdown, ratios, relative, returns, skill
from tests.unit.agents.metrics.published import PUBLISHED, days_of, equity_of

BACON, BENCHMARK, HAM1, SP500, ARBITRAGE = PUBLISHED.values()
MONTHS = 12
RF = 0.035 / MONTHS


def cagr(changes):
    return returns.annual_return(equity_of(changes), days_of(changes, MONTHS))


CASES = [
    ("Return.annualized HAM1", lambda: cagr(HAM1), "0.137532"),
    ("Return.annualized SP500 TR", lambda: cagr(SP500), "0.09674533"),
    ("Return.cumulative HAM1", lambda: returns.total_return(equity_of(HAM1)), "3.126671"),
    ("Return.cumulative SP500 TR", lambda: returns.total_return(equity_of(SP500)), "1.761619"),
    ("sd HAM1", lambda: returns.deviation(HAM1), "0.02562881"),
    ("sd.annualized Convertible Arbitrage", lambda: returns.volatility(ARBITRAGE, MONTHS), "0.058066"),
    ("DownsideDeviation Bacon, MAR 0.5 %", lambda: returns.downside_deviation(BACON, 0.005), "0.02553674"),
    ("DownsideDeviation HAM1", lambda: returns.downside_deviation(HAM1), "0.01454078"),
    ("DownsideDeviation HAM1, MAR 4 % / 12", lambda: returns.downside_deviation(HAM1, 0.04 / MONTHS), "0.0157602"),
    ("SharpeRatio HAM1, Rf 3.5 % / 12", lambda: ratios.sharpe_ratio(HAM1, 1, RF), "0.3201889"),
    ("SortinoRatio HAM1", lambda: ratios.sortino_ratio(HAM1, 1), "0.7649"),
    ("Kappa of order 2 Bacon, MAR 0.5 %", lambda: ratios.sortino_ratio(BACON, 1, 0.005), "0.1566371"),
    ("CalmarRatio HAM1", lambda: ratios.calmar_ratio(equity_of(HAM1), days_of(HAM1, MONTHS)), "0.9061697"),
    ("BernardoLedoitRatio Bacon", lambda: ratios.omega_ratio(BACON), "1.779783"),
    ("OmegaSharpeRatio Bacon, MAR 0.5 %", lambda: ratios.omega_ratio(BACON, 0.005) - 1, "0.2917933"),
    ("Omega Convertible Arbitrage", lambda: ratios.omega_ratio(ARBITRAGE), "2.848491"),
    ("Omega HAM1", lambda: ratios.omega_ratio(HAM1), "3.1907"),
    ("maxDrawdown HAM1", lambda: drawdown.max_drawdown(equity_of(HAM1)), "0.1518"),
    ("maxDrawdown SP500 TR", lambda: drawdown.max_drawdown(equity_of(SP500)), "0.4473"),
    ("maxDrawdown Convertible Arbitrage", lambda: drawdown.max_drawdown(equity_of(ARBITRAGE)), "0.2927"),
    ("VaR historical 95 % Convertible Arbitrage", lambda: -distribution.value_at_risk(ARBITRAGE), "-0.01506"),
    (
        "ES historical 95 % Convertible Arbitrage",
        lambda: -distribution.conditional_value_at_risk(ARBITRAGE),
        "-0.03878",
    ),
    ("skewness HAM1", lambda: distribution.skewness(HAM1), "-0.6588"),
    ("skewness Convertible Arbitrage", lambda: distribution.skewness(ARBITRAGE), "-2.5970"),
    ("kurtosis excess HAM1", lambda: distribution.kurtosis(HAM1), "2.3616"),
    ("kurtosis excess Convertible Arbitrage", lambda: distribution.kurtosis(ARBITRAGE), "18.6011"),
    (
        "SkewnessKurtosisRatio Bacon",
        lambda: distribution.skewness(BACON) / (distribution.kurtosis(BACON) + 3),
        "-0.03394204",
    ),
    ("BetaCoVariance HAM1, SP500 TR", lambda: relative.beta(HAM1, SP500), "0.3906"),
    ("SFM.alpha HAM1, SP500 TR", lambda: relative.alpha(HAM1, SP500, 1, risk_free=RF), "0.005960609"),
    (
        "SFM.jensenAlpha Bacon",
        lambda: cagr(BACON) - relative.beta(BACON, BENCHMARK) * cagr(BENCHMARK),
        "-0.01416944",
    ),
    (
        "SystematicRisk Bacon",
        lambda: relative.beta(BACON, BENCHMARK) * returns.volatility(BENCHMARK, MONTHS),
        "0.132806",
    ),
    ("TrackingError HAM1, SP500 TR", lambda: relative.tracking_error(HAM1, SP500, MONTHS), "0.1131667"),
    (
        # R divides the difference of compound returns; ours, of arithmetic means, is 0.2606 here.
        "InformationRatio HAM1, SP500 TR",
        lambda: (cagr(HAM1) - cagr(SP500)) / relative.tracking_error(HAM1, SP500, MONTHS),
        "0.3604125",
    ),
    (
        # R ignores the kurtosis unless told not to: 3, as of a normal distribution.
        "ProbSharpeRatio of 2 over 1 a year, skewness -0.72, n 59",
        lambda: skill.probabilistic_sharpe_ratio(skill.SharpeEstimate(2 / 12**0.5, 59, -0.72), 1 / 12**0.5),
        "0.9597434",
    ),
    (
        "ProbSharpeRatio Convertible Arbitrage over 0.23",
        lambda: skill.probabilistic_sharpe_ratio(
            skill.SharpeEstimate(ratios.sharpe_ratio(ARBITRAGE, 1), len(ARBITRAGE), distribution.skewness(ARBITRAGE)),
            0.23,
        ),
        "0.9209357",
    ),
]


@pytest.mark.parametrize(("ours", "printed"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_printed_digits_are_met(ours, printed):
    digits = len(printed.partition(".")[2])
    assert ours() == pytest.approx(float(printed), abs=0.5000001 * 10**-digits, rel=0)


@pytest.mark.parametrize(("changes", "printed"), [(HAM1, 18), (SP500, 74), (ARBITRAGE, 23)])
def test_lengths_of_table_drawdowns_are_met(changes, printed):
    # HAM1's row is printed in older output only: 2002-02 to 2003-07, 18 months.
    assert drawdown.max_drawdown_length(equity_of(changes)) == printed


def test_the_series_are_the_published_ones():
    # Return.cumulative with geometric = FALSE: the sums of the columns.
    assert sum(HAM1) == pytest.approx(1.4682, abs=1e-12)
    assert sum(SP500) == pytest.approx(1.143825, abs=1e-12)
    assert [len(changes) for changes in PUBLISHED.values()] == [24, 24, 132, 132, 293]
