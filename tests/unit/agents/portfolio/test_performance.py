import numpy as np
import pytest

from agents.portfolio.metrics import DAY_NS, performance_metrics
from agents.portfolio.trips import round_trips
from schemas import OrderFilled
from streams.errors import InvalidData


def filled(side, quantity, price, commission=0.0, name="AAPL.XNAS", run_id="run", multiplier=1.0):
    return OrderFilled(
        order_id="o",
        run_id=run_id,
        strategy_id="s",
        account_id="a",
        instrument_id=name,
        side=side,
        quantity=quantity,
        ts_event=1,
        fill_id="f",
        price=price,
        reference_price=price,
        commission=commission,
        spread_cost=0,
        impact_cost=0,
        cumulative_quantity=quantity,
        leaves_quantity=0,
        currency="USD",
        multiplier=multiplier,
        data_id="d",
        synthetic=False,
    )


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
    for name in ("annual_return", "volatility", "sharpe_ratio", "sortino_ratio", "calmar_ratio"):
        assert short[name] is None
    assert short["total_return"] == pytest.approx(-0.01)
    assert performance_metrics(equity, days(0, 10, 30), [])["annual_return"] is not None


def test_what_is_undefined_is_none():
    steady = performance_metrics(100 * 1.01 ** np.arange(50), days(*range(50)), [])
    assert (steady["sharpe_ratio"], steady["sortino_ratio"], steady["calmar_ratio"]) == (None, None, None)
    ruined = performance_metrics(np.array([100.0, -5.0, -6.0]), days(0, 20, 40), [])
    assert (ruined["annual_return"], ruined["volatility"]) == (None, None)
    single = performance_metrics(np.array([100.0]), days(0), [])
    assert (single["total_return"], single["annual_return"], single["max_drawdown"]) == (0, None, 0)


def test_round_trips_by_hand():
    fills = [
        # Average (10 x 20 + 10 x 22) / 20 = 21, out at 24 in two parts: 60, less 4 commission.
        filled("BUY", 10, 20, 1),
        filled("BUY", 10, 22, 1),
        filled("SELL", 5, 24, 1),
        filled("SELL", 15, 24, 1),
        # Another instrument, still open.
        filled("BUY", 1, 5, 7, name="MSFT.XNAS"),
        # Long 4 at 10, then sells 8 at 9: closes at -4 less half of 2, opens a short at 9 with the other half.
        filled("BUY", 4, 10, 0),
        filled("SELL", 8, 9, 2),
        # Covered at 6: 4 x 3 = 12, less 1 and 0.5.
        filled("BUY", 4, 6, 0.5),
    ]
    assert round_trips(fills) == pytest.approx([56, -5, 10.5])
    metrics = performance_metrics(np.array([100.0, 101.0]), days(0, 1), fills)
    assert metrics["win_rate"] == pytest.approx(2 / 3)
    assert metrics["profit_factor"] == pytest.approx(66.5 / 5)


def test_runs_and_multipliers_are_kept_apart():
    fills = [
        filled("BUY", 1, 10, run_id="one", multiplier=50),
        filled("SELL", 1, 11, run_id="two"),
        filled("SELL", 1, 12, run_id="one", multiplier=50),
    ]
    assert round_trips(fills) == [100]


def test_no_losing_trip_has_no_profit_factor():
    metrics = performance_metrics(np.array([1.0]), [0], [filled("BUY", 1, 10), filled("SELL", 1, 11)])
    assert (metrics["win_rate"], metrics["profit_factor"]) == (1.0, None)


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
