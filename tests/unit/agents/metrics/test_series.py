"""Figures over time, by hand and against pandas and empyrical."""

import empyrical
import numpy as np
import pandas as pd
import pytest

from agents.metrics.series import Levels, last_of, period_returns, periods, rolling_sharpe, turnover, unit_of
from streams.errors import InvalidData
from tests.unit.agents.metrics.messages import filled


def walk(count: int, freq: str, seed: int = 3) -> pd.Series:
    index = pd.date_range("2011-11-17 21:00", periods=count, freq=freq)
    steps = np.random.default_rng(seed).normal(0.0005, 0.01, count)
    return pd.Series(100 * np.cumprod(1 + steps), index)


def levels(series: pd.Series) -> Levels:
    return Levels(series.index.as_unit("ns").asi8, series.to_numpy())


@pytest.mark.parametrize(("unit", "rule"), [("M", "ME"), ("Y", "YE"), ("D", "D"), ("h", "h")])
def test_returns_by_period_are_those_of_pandas(unit, rule):
    series = walk(900, "37min" if unit in "Dh" else "B")
    expected = pd.concat([pd.Series([100.0]), series.resample(rule).last().dropna()]).pct_change().dropna()
    found = period_returns(levels(series), unit, 100.0)
    np.testing.assert_allclose([each.value for each in found], expected, rtol=1e-12)


def test_monthly_returns_are_those_of_empyrical_and_compound_to_the_whole():
    series = walk(400, "B")
    changes = pd.concat([pd.Series([100.0], [series.index[0] - pd.Timedelta("1min")]), series]).pct_change().dropna()
    expected = empyrical.aggregate_returns(changes, "monthly")
    found = [each.value for each in period_returns(levels(series), "M", 100.0)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.prod(1 + np.array(found)) == pytest.approx(series.iloc[-1] / 100)


def test_a_month_by_hand():
    days = np.array(["2012-01-30", "2012-01-31", "2012-02-01", "2012-03-01"], "datetime64[ns]").astype("i8")
    found = period_returns(Levels(days, np.array([100.0, 110.0, 99.0, 99.0])), "M", 100.0)
    assert [each.value for each in found] == pytest.approx([0.1, -0.1, 0.0])
    starts = [str(np.datetime64(each.start, "ns").astype("datetime64[D]")) for each in found]
    assert starts == ["2012-01-01", "2012-02-01", "2012-03-01"]


def test_a_level_at_or_below_zero_has_no_returns():
    with pytest.raises(InvalidData, match="above 0"):
        period_returns(Levels(np.array([0, 86_400 * 10**9]), np.array([0.0, 1.0])), "D", 1.0)


def test_the_rolling_sharpe_ratio_is_that_of_empyrical():
    changes = walk(300, "B").pct_change().dropna()
    expected = empyrical.roll_sharpe_ratio(changes, window=63, annualization=252)
    np.testing.assert_allclose(rolling_sharpe(changes.to_numpy(), 63, 252), expected, rtol=1e-9)
    assert len(rolling_sharpe(changes.to_numpy()[:62], 63, 252)) == 0


def test_a_window_that_does_not_vary_has_no_ratio():
    ratios = rolling_sharpe(np.array([0.0, 0.0, 0.01, 0.03]), 2, 1)
    assert np.isnan(ratios[0])
    assert ratios[2] == pytest.approx(0.02 / np.std([0.01, 0.03], ddof=1))


def test_turnover_by_hand():
    day = 86_400 * 10**9
    equity = Levels(np.array([0, day // 2, day, 3 * day]), np.array([100.0, 300.0, 400.0, 500.0]))
    fills = [
        filled("BUY", 10, 8).model_copy(update={"ts_event": 1}),  # 80 on the first day, mean equity 200
        filled("SELL", 10, 12, multiplier=2).model_copy(update={"ts_event": day // 2}),  # 240
        filled("BUY", 1, 50).model_copy(update={"ts_event": 2 * day}),  # no equity that day: counts in the next
    ]
    found = turnover(fills, equity, "D")
    assert [each.start for each in found] == [0, day, 3 * day]
    assert [each.value for each in found] == pytest.approx([320 / 2 / 200, 0, 50 / 2 / 500])


def test_periods_and_their_last_values():
    times = np.array([0, 1, 3_600, 3_601, 90_000]) * 10**9
    kept = last_of(Levels(times, np.arange(5.0)), "h")
    assert kept.values.tolist() == [1, 3, 4]
    assert periods(times, "h").tolist() == [0, 0, 3_600 * 10**9, 3_600 * 10**9, 90_000 * 10**9]
    assert len(last_of(Levels(np.empty(0, np.int64), np.empty(0)), "D").times) == 0


@pytest.mark.parametrize(
    ("seconds", "unit"),
    [(400 * 86_400, "M"), (60 * 86_400, "W"), (7 * 86_400, "D"), (90_000, "h"), (400, "m"), (9, "s")],
)
def test_the_period_fits_the_length(seconds, unit):
    assert unit_of([0, seconds * 10**9]) == unit
