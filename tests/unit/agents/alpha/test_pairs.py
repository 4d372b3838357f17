import numpy as np
import pytest

from agents.alpha.models import Opinion, check_limits, decide, history_needed, is_aligned, parse_parameters
from schemas import RiskLimits
from streams.errors import ConfigError, MissingData

A, B = "AAPL.XNAS", "GOOGL.XNAS"


def ask(logs_a, logs_b, lookback=4, **raw):
    """Decide on a pair given by its log prices."""
    closes = {A: np.exp(np.array(logs_a, dtype=float)), B: np.exp(np.array(logs_b, dtype=float))}
    return decide("pairs", parse_parameters("pairs", raw), closes, lookback)


def test_shorts_the_rich_leg_and_buys_the_cheap_one():
    # Spread 0, 0, 0, 4: mean 1, squares 1 + 1 + 1 + 9 = 12, sd 2, z = 3 / 2. Confidence 1.5 / (2 x 1).
    opinions = ask([0, 0, 0, 0, 4], [0] * 5, hedge="one", entry_z=1)
    assert opinions[A] == Opinion("SELL", pytest.approx(1.5), pytest.approx(0.75), -0.5)
    assert opinions[B] == Opinion("BUY", pytest.approx(-1.5), pytest.approx(0.75), 0.5)


def test_the_other_side_is_its_mirror():
    opinions = ask([0, 0, 0, 0, -4], [0] * 5, hedge="one", entry_z=1, gross=0.8)
    assert [(each.signal, each.target_weight) for each in opinions.values()] == [("BUY", 0.4), ("SELL", -0.4)]


def test_hedges_by_the_regression_slope():
    # b = 0, 1, 0, 1 and a = 2 b + (-1, -1, 1, 1), which is orthogonal to b: slope 2, spread mean 0, sd sqrt(4 / 3),
    # z = sqrt(3) / 2. Weights 1 to 2.
    opinions = ask([0, -1, 1, 1, 3], [5, 0, 1, 0, 1], entry_z=0.8)
    assert opinions[A].score == pytest.approx(3**0.5 / 2)
    assert (opinions[A].target_weight, opinions[B].target_weight) == pytest.approx((-1 / 3, 2 / 3))


def test_the_slope_agrees_with_polyfit():
    rng = np.random.default_rng(4)
    b = rng.normal(0, 0.01, 61).cumsum()
    a = 1.4 * b + rng.normal(0, 0.002, 61)
    a[-1] += 0.05
    opinions = ask(a, b, lookback=60)
    slope, constant = np.polyfit(b[1:], a[1:], 1)
    residual = a[1:] - slope * b[1:] - constant
    assert opinions[A].score == pytest.approx(residual[-1] / residual.std(ddof=1), rel=1e-9)
    assert opinions[B].target_weight / -opinions[A].target_weight == pytest.approx(slope, rel=1e-9)


def test_holds_between_exit_and_entry():
    opinions = ask([0, 0, 0, 0, 4], [0] * 5, hedge="one", entry_z=2)
    assert [(each.signal, each.target_weight) for each in opinions.values()] == [("HOLD", None)] * 2


def test_is_flat_inside_the_exit():
    # Spread 0, 2, 0, 1: mean 0.75, z = 0.25 / 0.957.
    opinions = ask([0, 0, 2, 0, 1], [0] * 5, hedge="one")
    assert [(each.signal, each.target_weight) for each in opinions.values()] == [("SELL", 0.0)] * 2


def test_is_flat_where_the_spread_jumped_across_its_mean():
    # Before: 1, 0, 0, 1.5: z > 0. Now: 0, 0, 1.5, -1: mean 0.125, z = -1.125 / 1.03 = -1.09, inside entry_z 2.
    opinions = ask([1, 0, 0, 1.5, -1], [0] * 5, hedge="one")
    assert [(each.signal, each.target_weight) for each in opinions.values()] == [("SELL", 0.0)] * 2


def test_instruments_that_move_against_each_other_are_no_pair():
    opinions = ask([0, 1, 0, 1, -9], [0, -1, 0, -1, 9], entry_z=0.5, exit_z=0.1)
    assert [each.target_weight for each in opinions.values()] == [0.0, 0.0]


@pytest.mark.parametrize("hedge", ["ols", "one"])
def test_prices_that_stand_still_say_nothing(hedge):
    assert ask([0.1] * 5, [0.2] * 5, hedge=hedge)[A] == Opinion("SELL", 0.0, 0.0, 0.0)


def test_the_order_of_the_instruments_is_that_of_their_names():
    rng = np.random.default_rng(5)
    closes = {name: np.exp(rng.normal(0, 0.1, 21)) for name in (B, A)}
    parameters = parse_parameters("pairs", {})
    turned = decide("pairs", parameters, dict(reversed(closes.items())), 20)
    assert decide("pairs", parameters, closes, 20) == turned


def test_asks_for_one_close_before_the_lookback():
    assert history_needed("pairs", parse_parameters("pairs", {}), 20) == 21
    assert is_aligned("pairs")
    with pytest.raises(MissingData):
        ask([0] * 4, [0] * 4)


def test_refuses_what_is_no_pair_of_thresholds_or_instruments():
    with pytest.raises(ConfigError, match="lookback_period = 2"):
        history_needed("pairs", parse_parameters("pairs", {}), 2)
    with pytest.raises(ConfigError, match=r"exit_z 2.0 must be below entry_z 1.0"):
        parse_parameters("pairs", {"entry_z": 1.0, "exit_z": 2.0})
    with pytest.raises(ConfigError, match=r"exactly 2 instruments, got 1: AAPL.XNAS"):
        decide("pairs", parse_parameters("pairs", {}), {A: np.ones(9)}, 4)


def test_needs_limits_that_allow_short_positions():
    check_limits("pairs", RiskLimits(allow_short=True))
    check_limits("momentum", RiskLimits())
    with pytest.raises(ConfigError, match=r"pairs sells short: set limits.allow_short to true"):
        check_limits("pairs", RiskLimits())
