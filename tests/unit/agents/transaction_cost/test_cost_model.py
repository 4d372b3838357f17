from math import exp, log, sqrt

import numpy as np
import pytest
from pydantic import ValidationError

from agents.transaction_cost.model import CostModel, estimate, interval_volatility, range_volatility
from schemas import OrderTerms
from streams.errors import InvalidData, MissingData

A, B = "AAPL.XNAS", "MSFT.XNAS"


def order(side, quantity, name=A):
    return OrderTerms(run_id="r", strategy_id="s", account_id="a", instrument_id=name, side=side, quantity=quantity)


def test_a_purchase_by_hand():
    # Half spread 2 bp, impact 0.5 x 0.02 x sqrt(100 / 10,000) = 0.001: price 50 x 1.0012 = 50.06.
    model = CostModel(commission_rate=0.001, half_spread_bps=2, impact_coefficient=0.5)
    charge = model.charge("BUY", 100, 50.0, volume=10_000, volatility=0.02)
    assert charge.price == pytest.approx(50.06)
    assert charge.commission == pytest.approx(5.006)
    assert charge.spread_cost == pytest.approx(1.0)
    assert charge.impact_cost == pytest.approx(5.0)


def test_a_sale_gets_less_and_the_multiplier_scales_amounts():
    model = CostModel(commission_rate=0.001, half_spread_bps=2, impact_coefficient=0.5)
    charge = model.charge("SELL", 100, 50.0, volume=10_000, volatility=0.02, multiplier=10)
    assert charge.price == pytest.approx(49.94)
    assert charge.commission == pytest.approx(49.94)
    assert (charge.spread_cost, charge.impact_cost) == (pytest.approx(10), pytest.approx(50))


def test_costs_inside_the_price_add_up():
    charge = CostModel().charge("BUY", 7, 31.0, volume=900, volatility=0.03)
    assert 7 * (charge.price - 31.0) == pytest.approx(charge.spread_cost + charge.impact_cost)


def test_impact_does_not_depend_on_the_interval():
    # A quarter of the interval has a quarter of the volume and half of the volatility.
    model = CostModel(impact_coefficient=1)
    day = model.charge("BUY", 10, 100.0, volume=4000, volatility=0.02)
    quarter = model.charge("BUY", 10, 100.0, volume=1000, volatility=0.01)
    assert quarter.impact_cost == pytest.approx(day.impact_cost)


def test_impact_needs_a_volume():
    for volume in (None, 0.0):
        with pytest.raises(MissingData, match="positive volume"):
            CostModel().charge("BUY", 1, 10.0, volume=volume, volatility=0.01)
    assert CostModel(impact_coefficient=0).charge("BUY", 1, 10.0, volume=None, volatility=0.01).impact_cost == 0
    assert CostModel().charge("BUY", 1, 10.0, volume=None, volatility=0).impact_cost == 0


def test_a_sale_for_nothing_is_refused():
    with pytest.raises(InvalidData, match="would fetch"):
        CostModel(impact_coefficient=1).charge("SELL", 1e6, 10.0, volume=1, volatility=0.01)


def test_ranges_of_the_rates():
    for rates in ({"commission_rate": -0.1}, {"max_participation": 0}, {"half_spread_bps": float("nan")}, {"x": 1}):
        with pytest.raises(ValidationError):
            CostModel(**rates)


def test_volatility_by_hand():
    # Log returns 0.1, -0.1, 0.1: mean 1/30, squares 2 x (1/15)^2 + (2/15)^2 = 6 / 225; halved 3 / 225.
    closes = [100, 100 * exp(0.1), 100, 100 * exp(0.1)]
    assert interval_volatility(closes) == pytest.approx(sqrt(3 / 225))
    with pytest.raises(MissingData, match="got 2"):
        interval_volatility([1, 2])


def test_range_volatility_by_hand():
    # Parkinson: ln(2) / sqrt(4 ln 2) = sqrt(ln 2) / 2.
    assert range_volatility(20.0, 10.0) == pytest.approx(sqrt(log(2)) / 2)
    assert range_volatility(10.0, 10.0) == 0


def test_estimate_by_hand():
    # Last close 100 exp(0.1) = 110.517; log returns as above, sd sqrt(3 / 225) = 0.11547; mean volume 400.
    closes = {A: np.array([100, 100 * exp(0.1), 100, 100 * exp(0.1)]), B: np.array([50.0, 50, 50])}
    volumes = {A: np.array([300.0, 500, 300, 500]), B: np.array([100.0, 100, 100])}
    model = CostModel(commission_rate=0.001, half_spread_bps=10, impact_coefficient=1)
    costs = estimate([order("BUY", 4), order("SELL", 2, B)], closes, volumes, model, multipliers={B: 10})
    value_a, impact_a = 4 * 100 * exp(0.1), sqrt(3 / 225) * sqrt(4 / 400)
    assert costs["slippage"] == pytest.approx((value_a + 1000) * 0.001)
    assert costs["market_impact"] == pytest.approx(value_a * impact_a)
    assert costs["commission"] == pytest.approx(0.001 * (value_a * (1.001 + impact_a) + 1000 * 0.999))
    assert costs["total_cost"] == pytest.approx(costs["slippage"] + costs["market_impact"] + costs["commission"])


def test_estimate_looks_at_the_last_twenty_rows():
    prices = np.concatenate(([1.0, 1000.0], 100 + np.arange(20.0)))
    volumes = np.concatenate(([1e9, 1e9], np.full(20, 50.0)))
    assert estimate([order("BUY", 1)], {A: prices}, {A: volumes}, CostModel()) == estimate(
        [order("BUY", 1)], {A: prices[2:]}, {A: volumes[2:]}, CostModel()
    )


def test_estimate_needs_history():
    assert estimate([], {}, {}, CostModel())["total_cost"] == 0
    with pytest.raises(MissingData, match="no closes"):
        estimate([order("BUY", 1)], {}, {}, CostModel())
    with pytest.raises(MissingData, match="3 closes"):
        estimate([order("BUY", 1)], {A: np.ones(2)}, {A: np.ones(2)}, CostModel())
