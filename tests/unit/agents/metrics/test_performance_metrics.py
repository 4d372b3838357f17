import numpy as np
import pytest

from agents.metrics import performance_metrics
from agents.metrics.distribution import conditional_value_at_risk, value_at_risk
from agents.metrics.performance import ANNUAL, DAY_NS, PER_PERIOD
from streams.errors import InvalidData, MissingData
from tests.unit.agents.metrics.messages import filled, state


def days(*numbers):
    return [number * DAY_NS for number in numbers]


def test_figures_by_hand():
    # Returns +10 %, -10 %, +20 %, 0: 100, 110, 99, 118.8, 118.8 over a year of 365.25 days.
    equity = np.array([100, 110, 99, 118.8, 118.8])
    metrics = performance_metrics(equity, days(0, 90, 180, 270, 365.25), [], periods_per_year=4)
    assert metrics["total_return"] == pytest.approx(0.188)
    assert metrics["annual_return"] == pytest.approx(0.188)
    # Mean 0.05; squares 0.0025 + 0.0225 + 0.0225 + 0.0025 = 0.05; sd sqrt(0.05 / 3), twice that a year.
    assert metrics["volatility"] == pytest.approx(2 * (0.05 / 3) ** 0.5)
    assert metrics["sharpe_ratio"] == pytest.approx(0.05 / (0.05 / 3) ** 0.5 * 2)
    # Downside sqrt(0.01 / 4) = 0.05, so the ratio is 1 x 2.
    assert metrics["sortino_ratio"] == pytest.approx(2.0)
    assert metrics["max_drawdown"] == pytest.approx(0.1)
    assert metrics["calmar_ratio"] == pytest.approx(1.88)
    assert metrics["final_value"] == 118.8
    assert metrics["win_rate"] is None
    assert metrics["profit_factor"] is None


def test_growth_compounds_by_calendar_time():
    # 21 % in two years is 10 % a year.
    metrics = performance_metrics(np.array([100.0, 121.0]), days(0, 730.5), [])
    assert metrics["annual_return"] == pytest.approx(0.1)
    # One return has no standard deviation.
    assert (metrics["volatility"], metrics["sharpe_ratio"], metrics["sortino_ratio"]) == (None, None, None)


def test_the_start_capital_counts_as_a_peak():
    metrics = performance_metrics(np.array([100.0, 80.0, 90.0]), days(0, 1, 2), [])
    assert metrics["max_drawdown"] == pytest.approx(0.2)


def test_short_samples_are_not_annualised():
    equity = np.array([100.0, 101.0, 99.0])
    short = performance_metrics(equity, days(0, 10, 29.9), [])
    assert all(short[name] is None for name in ANNUAL)
    assert short["total_return"] == pytest.approx(-0.01)
    assert performance_metrics(equity, days(0, 10, 30), [])["annual_return"] is not None


def test_what_is_undefined_is_none():
    steady = performance_metrics(100 * 1.01 ** np.arange(50), days(*range(50)), [])
    assert (steady["sharpe_ratio"], steady["sortino_ratio"], steady["calmar_ratio"]) == (None, None, None)
    ruined = performance_metrics(np.array([100.0, -5.0, -6.0]), days(0, 20, 40), [])
    assert (ruined["annual_return"], ruined["volatility"]) == (None, None)
    single = performance_metrics(np.array([100.0]), days(0), [])
    assert (single["total_return"], single["annual_return"], single["max_drawdown"]) == (0, None, 0)


@pytest.mark.parametrize(
    ("equity", "times", "says"),
    [([], [], "0 values"), ([1, 2], [0], "1 times"), ([0, 1], [0, 1], "above 0"), ([1, np.nan], [0, 1], "finite")],
)
def test_bad_series_are_refused(equity, times, says):
    with pytest.raises(InvalidData, match=says):
        performance_metrics(np.array(equity, dtype=float), times, [])


def test_time_going_backwards_is_refused():
    with pytest.raises(InvalidData, match="backwards"):
        performance_metrics(np.array([1.0, 2.0]), [5, 4], [])


def test_benchmark_figures_by_hand():
    # Benchmark +10 %, -10 %, +10 %, -10 %; ours 1 % + half of it: 6, -4, 6, -4.
    benchmark = np.cumprod([100, 1.1, 0.9, 1.1, 0.9])
    equity = np.cumprod([100, 1.06, 0.96, 1.06, 0.96])
    metrics = performance_metrics(equity, days(0, 90, 180, 270, 365), [], benchmark=benchmark, periods_per_year=4)
    assert metrics["beta"] == pytest.approx(0.5)
    assert metrics["alpha"] == pytest.approx(1.01**4 - 1)
    # Active returns -4, 6, -4, 6: mean 1 %, deviation sqrt(4 x 0.0025 / 3), both of a quarter.
    assert metrics["information_ratio"] == pytest.approx(0.01 * 4 / ((0.01 / 3) ** 0.5 * 2))


def test_a_benchmark_that_does_not_fit_is_refused():
    equity, times = np.array([100.0, 101.0, 102.0]), days(0, 1, 2)
    for benchmark in ([1.0, 2.0], [1.0, 0.0, 1.0], [1.0, np.nan, 1.0]):
        with pytest.raises(InvalidData, match="3 finite and positive levels"):
            performance_metrics(equity, times, [], benchmark=np.array(benchmark))


def test_without_benchmark_and_positions_their_figures_are_none():
    metrics = performance_metrics(np.array([100.0, 101.0, 100.0]), days(0, 20, 40), [])
    for name in ("beta", "alpha", "information_ratio", "exposure"):
        assert metrics[name] is None
    assert (metrics["turnover"], metrics["cost_drag"]) == (0, 0)


def test_a_ruined_account_has_no_figures_of_returns():
    ruined = performance_metrics(
        np.array([100.0, -5.0, -6.0]), days(0, 20, 40), [], benchmark=np.array([1.0, 2.0, 3.0])
    )
    for name in ("volatility", "omega_ratio", "var_95", "cvar_99", "skewness", "kurtosis", "beta", "alpha"):
        assert ruined[name] is None
    assert ruined["max_drawdown"] == pytest.approx(1.06)
    assert ruined["final_value"] == -6


def test_turnover_and_costs_are_per_year_of_mean_equity():
    # Half a year; bought for 1000, sold for 1100: 1050 one way over a mean equity of 1050, twice a year.
    fills = [filled("BUY", 10, 100, 3, spread_cost=2, impact_cost=1), filled("SELL", 1, 110, 4.5, multiplier=10)]
    metrics = performance_metrics(np.array([1000.0, 1050.0, 1100.0]), days(0, 90, 365.25 / 2), fills)
    assert metrics["turnover"] == pytest.approx(2)
    assert metrics["cost_drag"] == pytest.approx(10.5 / 1050 * 2)


def test_exposure_is_the_mean_gross_share():
    fills = [filled("BUY", 10, 10), filled("SELL", 2, 100, name="ESZ4.XCME", multiplier=5)]
    positions = [
        state(1000),
        # 10 x 12 long and 2 x 90 x 5 short are 1020.
        state(1020, **{"AAPL.XNAS": (10, 12), "ESZ4.XCME": (-2, 90)}),
    ]
    metrics = performance_metrics(np.array([1000.0, 1020.0]), days(0, 1), fills, positions=positions)
    assert metrics["exposure"] == pytest.approx(0.5)
    broke = performance_metrics(np.array([1000.0, -1.0]), days(0, 1), [], positions=[state(1000), state(-1)])
    assert broke["exposure"] is None
    with pytest.raises(MissingData, match="ESZ4"):
        performance_metrics(np.array([1000.0, 1020.0]), days(0, 1), fills[:1], positions=positions)


def test_the_drawdown_lasts_from_its_peak_until_it_is_made_good():
    def length(*values):
        return performance_metrics(np.array(values, dtype=float), days(*range(len(values))), [])["max_drawdown_length"]

    assert length(100, 110, 110, 99, 105, 110, 120, 119) == 3
    # Not made good: to the last value.
    assert length(100, 90, 80, 85) == 3
    # The start capital is a peak; the shallower, longer fall does not count.
    assert length(100, 70, 101, 100, 99, 98, 97, 102) == 2
    assert length(100, 101, 102) == 0
    assert length(100) == 0


def test_tails_by_hand():
    # Returns -10 %, -8 %, ... 10 %: 11 values, ranks 0.5 and 0.1 of the lowest.
    changes = np.arange(-10, 11, 2) / 100
    metrics = performance_metrics(np.cumprod([100, *(1 + changes)]), days(*range(12)), [])
    assert metrics["var_95"] == pytest.approx(0.09)
    assert metrics["var_99"] == pytest.approx(0.098)
    # One value lies at or below either quantile.
    assert (metrics["cvar_95"], metrics["cvar_99"]) == pytest.approx((0.1, 0.1))
    assert metrics["omega_ratio"] == pytest.approx(1)
    assert metrics["skewness"] == pytest.approx(0, abs=1e-12)
    # Multiples -5 to 5: sum of squares 110, of fourth powers 1958.
    assert metrics["kurtosis"] == pytest.approx(1958 / 11 / 10**2 - 3)


def test_a_whole_rank_counts_the_return_on_it():
    # Rank 10 x 0.1 = 1 of eleven: the two lowest.
    assert conditional_value_at_risk(np.arange(-5.0, 6.0), 0.9) == 4.5
    assert value_at_risk(np.arange(-5.0, 6.0), 0.9) == pytest.approx(4)
    with pytest.raises(InvalidData, match="level is 1"):
        value_at_risk(np.arange(3.0), 1)


def test_no_figure_is_ever_nan():
    for values in ([1.0], [1.0, 1.0, 1.0], [1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1e12, 1e24], [1.0, 2.0, 1.0]):
        for step in (0, 1, 40):
            metrics = performance_metrics(np.array(values), days(*(step * row for row in range(len(values)))), [])
            assert all(value is None or np.isfinite(value) for value in metrics.values()), (values, metrics)


def test_growth_beyond_any_number_is_undefined():
    equity = np.array([1.0, 1e3, 1e6, 1e9])
    metrics = performance_metrics(equity, [0, 1, 2, 31 * DAY_NS], [], benchmark=np.array([1.0, 1.1, 1.0, 1.1]))
    assert metrics["alpha"] is None
    # Nor is 1e9 within a microsecond an error.
    assert performance_metrics(equity, [0, 1, 2, 1000], [])["annual_return"] is None


def test_several_values_a_day_do_not_change_what_is_per_year():
    daily = 100 * np.cumprod(1 + np.random.default_rng(3).normal(0.001, 0.01, 60))
    benchmark = 100 * np.cumprod(1 + np.random.default_rng(4).normal(0.001, 0.01, 60))
    closes = [number * DAY_NS + DAY_NS // 2 for number in range(60)]
    # The same days with a swing of 5 % within each.
    times = [closes[0], *(t for close in closes[1:] for t in (close - 3600 * 10**9, close))]
    equity, levels = (np.array([v[0], *(x for y in v[1:] for x in (y * 1.05, y))]) for v in (daily, benchmark))
    plain = performance_metrics(daily, closes, [], benchmark=benchmark)
    intraday = performance_metrics(equity, times, [], benchmark=levels)
    for name in PER_PERIOD:
        assert intraday[name] == pytest.approx(plain[name]), name
    assert intraday["max_drawdown"] > plain["max_drawdown"]
    assert intraday["total_return"] == plain["total_return"]
