import numpy as np
import pytest

from agents.alpha.models import Opinion, decide, history_needed, parse_parameters
from streams.errors import ConfigError, MissingData

A, B = "AAPL.XNAS", "GOOGL.XNAS"


def ask(fast, slow, lookback=1, **series):
    parameters = parse_parameters("sma_cross", {"fast": fast, "slow": slow})
    prices = {f"{name}.XNAS": np.array(values, dtype=np.float64) for name, values in series.items()}
    return decide("sma_cross", parameters, prices, lookback)


def test_buys_while_the_fast_mean_is_greater():
    # Last 2 of 10, 11, 12, 15: 13.5; all 4: 12. Last 2 of 15, 12, 11, 10: 10.5. The leading 500 lies outside.
    opinions = ask(2, 4, AAPL=[500, 10, 11, 12, 15], GOOGL=[500, 15, 12, 11, 10])
    assert opinions[A] == Opinion("BUY", 13.5 / 12 - 1, 1.0)
    assert opinions[B] == Opinion("SELL", 10.5 / 12 - 1, 1.0)


def test_equal_means_are_a_sell_with_no_confidence():
    assert ask(1, 3, AAPL=[9, 11, 10])[A] == Opinion("SELL", 0.0, 0.0)


@pytest.mark.parametrize("price", [0.1, 1.1, 33.3, 0.7])
@pytest.mark.parametrize(("fast", "slow"), [(1, 3), (3, 7), (10, 30), (50, 200)])
def test_rounding_never_makes_a_difference_of_equal_closes(price, fast, slow):
    assert ask(fast, slow, AAPL=[price] * slow)[A] == Opinion("SELL", 0.0, 0.0)


def test_the_smallest_difference_counts():
    above, below = np.nextafter(0.1, 1), np.nextafter(0.1, 0)
    opinions = ask(3, 7, AAPL=[0.1] * 6 + [above], GOOGL=[0.1] * 6 + [below])
    assert [opinions[name].signal for name in (A, B)] == ["BUY", "SELL"]
    assert opinions[A].score > 0 > opinions[B].score


def test_agrees_with_pandas_over_a_long_series():
    pandas = pytest.importorskip("pandas")
    prices = np.random.default_rng(3).uniform(90, 110, 400)
    series = pandas.Series(prices)
    greater = series.rolling(10).mean() > series.rolling(30).mean()
    ours = [ask(10, 30, AAPL=prices[: end + 1])[A].signal == "BUY" for end in range(29, 400)]
    assert ours == greater[29:].tolist()


def test_first_decision_is_when_the_slow_window_is_full():
    assert history_needed("sma_cross", parse_parameters("sma_cross", {}), 100) == 30
    with pytest.raises(MissingData, match="has 2 closes, 3 are needed"):
        ask(1, 3, AAPL=[1, 2])


def test_refuses_windows_out_of_order():
    with pytest.raises(ConfigError, match="fast 30 must be below slow 30"):
        parse_parameters("sma_cross", {"fast": 30})
