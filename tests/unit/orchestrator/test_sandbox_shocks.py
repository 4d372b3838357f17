"""Shocks and betas: hand-worked factors, valid bars, and nothing that looks ahead."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

import numpy as np
import pytest

from agents.data.feed import Row
from agents.data.fetch import FetchParameters, fetch
from agents.data.slicing import bar_slices
from agents.data.sources import SampleProvider
from orchestrator.lookahead import perturbed
from orchestrator.sandbox.market import exposure
from orchestrator.sandbox.options import StressOptions
from orchestrator.sandbox.panel import Panel
from orchestrator.sandbox.shocks import SHOCKS, Setting, shock_of, shocked
from orchestrator.sandbox.stress import closes_of
from schemas import Bar, TickBlock
from streams.errors import ConfigError, MissingData

SYMBOLS = ("AAPL", "IBM", "MSFT")
AT = 60


def sample(*symbols: str, start: str = "2012-01-03", end: str = "2012-06-29") -> list[list[Bar]]:
    dates = {"start": dt.date.fromisoformat(start), "end": dt.date.fromisoformat(end)}
    fetched = fetch(SampleProvider(), FetchParameters(symbols=symbols or SYMBOLS, **dates))
    return list(bar_slices([bar for block in fetched.blocks for bar in block.bars()]))


@pytest.fixture(scope="module")
def panel() -> Panel:
    return Panel.of(sample())


def setting(*betas: float) -> Setting:
    return Setting(AT, np.array(betas or (1.0, 0.5, 2.0)))


def log_returns(of: Panel) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.log(of.prices[1:, :, 3] / of.prices[:-1, :, 3])


@pytest.mark.parametrize("name", SHOCKS)
@pytest.mark.parametrize("severity", [0.25, 1.0, 2.0])
def test_a_shock_leaves_what_was_before_it_and_makes_valid_bars_labelled_synthetic(
    name: str, severity: float, panel: Panel
) -> None:
    slices = shocked(panel, SHOCKS[name], severity, setting(1.5, -0.5, 3.0)).slices("stress:x")
    assert slices[:AT] == [tuple(row) for row in panel.bars[:AT]]
    assert {bar.synthetic for rows in slices[AT:] for bar in rows} == {True}
    assert [rows[0].ts_event for rows in slices] == panel.times
    # Bar itself refuses a price that is not positive, a volume below 0, and open or close beyond high and low.
    assert all(isinstance(bar, Bar) and math.isfinite(bar.high) for rows in slices for bar in rows)
    assert slices[AT:] != [tuple(row) for row in panel.bars[AT:]]


def test_a_crash_moves_each_instrument_by_its_beta(panel: Panel) -> None:
    found = shocked(panel, shock_of("market_crash"), 1.0, setting(1.0, 0.5, 2.0))
    factors = found.prices[:, :, 3] / panel.prices[:, :, 3]
    np.testing.assert_allclose(factors[AT + 3], [0.715, math.sqrt(0.715), 0.715**2])
    np.testing.assert_allclose(factors[-1], factors[AT + 3])
    np.testing.assert_allclose(factors[AT], [0.97, math.sqrt(0.97), 0.97**2])
    opens = found.prices[:, :, 0] / panel.prices[:, :, 0]
    np.testing.assert_allclose(opens[AT], [1.0, 1.0, 1.0], err_msg="the fall of a bar happens within it")
    np.testing.assert_allclose(opens[AT + 1], factors[AT])
    assert (found.volume == panel.volume).all()


def test_severity_scales_the_level(panel: Panel) -> None:
    half = shocked(panel, shock_of("market_crash"), 0.5, setting(1.0, 1.0, 1.0))
    np.testing.assert_allclose(half.prices[-1, :, 3] / panel.prices[-1, :, 3], 1 - 0.285 / 2)


def test_a_flash_crash_is_made_good_to_the_cent(panel: Panel) -> None:
    shock = shock_of("flash_crash")
    found = shocked(panel, shock, 1.0, setting())
    assert (found.prices[AT, :, 3] < 0.96 * panel.prices[AT, :, 3]).all()
    assert (found.prices[AT + shock.bars :] == panel.prices[AT + shock.bars :]).all()
    np.testing.assert_allclose(found.prices[AT + shock.bars - 1, :, 3], panel.prices[AT + shock.bars - 1, :, 3])


def test_a_volatility_spike_scales_deviations_and_keeps_the_drift(panel: Panel) -> None:
    shock = shock_of("volatility_spike")
    end = AT + shock.bars
    found = shocked(panel, shock, 1.0, setting())
    before, after = log_returns(panel)[AT - 1 : end - 1], log_returns(found)[AT - 1 : end - 1]
    np.testing.assert_allclose(after - after.mean(axis=0), 4 * (before - before.mean(axis=0)), atol=1e-12)
    np.testing.assert_allclose(after.mean(axis=0), before.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.prices[end:], panel.prices[end:])


def test_a_liquidity_crisis_cuts_volume_for_a_month(panel: Panel) -> None:
    shock = shock_of("liquidity_crisis")
    found = shocked(panel, shock, 0.5, setting())
    expected = panel.volume.copy()
    expected[AT : AT + 21] *= 0.55
    np.testing.assert_allclose(found.volume, expected)
    assert (found.prices == panel.prices).all()


def test_a_rate_shock_is_the_sensitivity_times_the_rise(panel: Panel) -> None:
    shock = shock_of("rate_shock")
    np.testing.assert_allclose(shock.market(1.0), [0.984, 0.968, 0.952, 0.936, 0.92])
    double = Setting(AT, np.ones(3), sensitivity=8.0)
    found = shocked(panel, shock, 1.0, double)
    np.testing.assert_allclose(found.prices[-1, :, 3] / panel.prices[-1, :, 3], 0.84)


def test_betas_are_those_of_least_squares(panel: Panel) -> None:
    returns = panel.returns[: AT - 1]
    market = returns.mean(axis=1)
    found = exposure(panel, AT, 252)
    slopes = [np.polyfit(market, column, 1)[0] for column in returns.T]
    np.testing.assert_allclose(found.betas, slopes)
    assert found.betas.mean() == pytest.approx(1)
    assert (found.observations, found.first, found.last) == (59, "2012-01-03", panel.sessions[59])
    assert exposure(panel, AT, 30).observations == 30
    assert exposure(Panel.of(sample("IBM")), AT, 252).betas.tolist() == [1.0]


def test_betas_to_a_named_benchmark(panel: Panel) -> None:
    other = sample("GOOGL")
    found = exposure(panel, AT, 252, ("GOOGL", closes_of(other)))
    levels = np.array([rows[0].close for rows in other[:AT]])
    market = levels[1:] / levels[:-1] - 1
    np.testing.assert_allclose(found.betas, [np.polyfit(market, each, 1)[0] for each in panel.returns[: AT - 1].T])
    with pytest.raises(MissingData, match="benchmark GOOGL has no bar at the time of the others on 2012-01-03"):
        exposure(panel, AT, 252, ("GOOGL", closes_of(other[1:])))


def test_betas_do_not_look_ahead(panel: Panel) -> None:
    whole = exposure(panel, AT, 252).betas.tolist()
    changed = Panel.of(perturbed(sample(), AT, seed=3))
    assert (changed.prices[AT:] != panel.prices[AT:]).any()
    assert exposure(changed, AT, 252).betas.tolist() == whole
    assert exposure(Panel.of(sample()[:AT]), AT, 252).betas.tolist() == whole
    earlier = Panel.of(perturbed(sample(), AT - 1, seed=3))
    assert exposure(earlier, AT, 252).betas.tolist() != whole, "the bar before the shock is known, and counts"


def test_too_little_before_or_after_a_shock_is_refused(panel: Panel) -> None:
    with pytest.raises(MissingData, match="betas need 20 returns before the shock, there are 19"):
        exposure(panel, 20, 252)
    with pytest.raises(ConfigError, match="market_crash takes 4 bars, the data have 3"):
        shocked(panel, shock_of("market_crash"), 1.0, Setting(len(panel.bars) - 3, np.ones(3)))
    with pytest.raises(ConfigError, match="nearest is 'market_crash'"):
        shock_of("market_crahs")


def test_a_market_that_would_be_worthless_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"rate_shock at severity 2\.0 leaves the market at -0\.60"):
        shock_of("rate_shock").market(2.0, sensitivity=40.0)
    with pytest.raises(ValueError, match="severity"):
        StressOptions(severity_levels=(2.5,))


def test_data_that_cannot_be_shocked_are_refused() -> None:
    lacking: list[Sequence[Row]] = [*sample()]
    lacking[7] = lacking[7][1:]
    with pytest.raises(MissingData, match=r"2012-01-12 lacks AAPL\.XNAS"):
        Panel.of(lacking)
    ticks = TickBlock(
        instrument_id="A.X",
        source="t",
        synthetic=True,
        base_ts=0,
        seq0=0,
        dt_ns=[0.0],
        price=[1.0],
        size=[1.0],
        side=[1],
    )
    with pytest.raises(MissingData, match="made of bars; the source has a TickBlock"):
        Panel.of([[ticks], [ticks]])
    with pytest.raises(MissingData, match="1 slices"):
        Panel.of(sample()[:1])
