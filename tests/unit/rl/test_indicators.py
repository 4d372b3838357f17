from __future__ import annotations

import math

import numpy as np
import pytest
import talib

from agents.data.sources import SampleProvider
from rl.indicators import LIMIT, Indicators, IndicatorState
from rl.panel import Panel, sp500
from streams.errors import InvalidData

DAY = 0.02
"""What the docstring of Indicators counts moves in."""


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Return real bars: 620 days of three shares."""
    provider = SampleProvider()
    whole = Panel.of([block for name in ("AAPL", "IBM", "MSFT") for block in provider.bars(name, "1d", None, None)])
    return whole[2000:2620]


def test_features_are_those_of_ta_lib(panel: Panel) -> None:
    indicators = Indicators(volumes=True)
    assert panel.volumes is not None
    found = indicators.over(panel.closes, panel.volumes).astype(np.float64)
    assert np.isnan(found[: indicators.warm_up]).all()
    for column in range(3):
        close, volume = panel.closes[:, column].copy(), panel.volumes[:, column].copy()
        line, _, histogram = talib.MACD(close, 12, 26, 9)
        upper, middle, _ = talib.BBANDS(close, 20, 2, 2)
        changes = np.diff(np.log(close), prepend=np.nan)
        expected = {
            "return_1": talib.ROCR(close, 1),
            "return_5": talib.ROCR(close, 5),
            "return_20": talib.ROCR(close, 20),
            # TA-Lib divides by the number of rows, we by one less
            "volatility_20": talib.STDDEV(changes[1:], 20) * math.sqrt(20 / 19) / DAY,
            "rsi_14": (talib.RSI(close, 14) - 50) / 50,
            "macd_12_26": line / close / DAY,
            "macd_12_26_9": histogram / close / DAY,
            "bollinger_20": (close - middle) / (upper - middle),
            "momentum_60": talib.ROCR(close, 60),
            "volume_20": volume / talib.SMA(volume, 20) - 1,
        }
        for name, period in (("return_1", 1), ("return_5", 5), ("return_20", 20), ("momentum_60", 60)):
            expected[name] = np.log(expected[name]) / (DAY * math.sqrt(period))
        expected["volatility_20"] = np.concatenate([[np.nan], expected["volatility_20"]])
        assert tuple(expected) == indicators.names
        for at, name in enumerate(indicators.names):
            own, theirs = found[indicators.warm_up :, column, at], expected[name][indicators.warm_up :]
            assert own == pytest.approx(np.clip(theirs, -LIMIT, LIMIT), abs=2e-6, rel=2e-6), name


def test_averages_start_where_ta_libs_do(panel: Panel) -> None:
    indicators, close = Indicators(volumes=False, returns=(1,), volatility=2, momentum=1, bollinger=2), panel.closes
    assert indicators.warm_up == 33
    found = indicators.over(close, None)
    names = indicators.names
    line, _, histogram = talib.MACD(close[:, 1].copy(), 12, 26, 9)
    assert found[33, 1, names.index("macd_12_26")] == pytest.approx(line[33] / close[33, 1] / DAY, rel=1e-6)
    assert found[33, 1, names.index("macd_12_26_9")] == pytest.approx(histogram[33] / close[33, 1] / DAY, rel=1e-6)


def test_hand_worked_values() -> None:
    small = Indicators(
        volumes=True, returns=(1,), volatility=2, rsi=2, macd=(1, 2, 1), bollinger=2, volume=2, momentum=2
    )
    assert small.warm_up == 2
    closes = np.array([[100.0], [110.0], [99.0], [99.0]])
    found = small.over(closes, np.array([[10.0], [10.0], [30.0], [0.0]]))[:, 0]
    assert np.isnan(found[:2]).all()
    up, down = math.log(1.1), math.log(0.9)
    # gains 10 and 0, losses 0 and 11: averages 5 and 5.5. Slow: 105, then + 2/3 (99 - 105) = 101.
    assert found[2] == pytest.approx(
        [
            down / DAY,
            (up - down) / math.sqrt(2) / DAY,
            (5 - 5.5) / 10.5,
            (99 - 101) / 99 / DAY,
            0,
            (99 - 104.5) / 11,
            (up + down) / DAY / math.sqrt(2),
            30 / 20 - 1,
        ],
        rel=1e-6,
        abs=1e-6,
    )
    # both averages of the RSI halve; Bollinger's rows are equal; slow: 101 + 2/3 (99 - 101)
    assert found[3, [0, 2, 5, 7]] == pytest.approx([0, (2.5 - 2.75) / 5.25, 0, -1], abs=1e-6)
    assert found[3, 3] == pytest.approx((99 - (101 - 4 / 3)) / 99 / DAY, rel=1e-5)


def test_what_never_moves_has_no_signal() -> None:
    found = Indicators(volumes=True).over(np.full((70, 2), 3.0), np.zeros((70, 2)))
    assert (found[60:] == 0).all()


def test_features_up_to_a_row_do_not_know_the_rows_after(panel: Panel) -> None:
    indicators = Indicators(volumes=True)
    assert panel.volumes is not None
    whole = indicators.over(panel.closes, panel.volumes)
    for cut in (61, 62, 100, 333):
        part = indicators.over(panel.closes[:cut], panel.volumes[:cut])
        assert part.tobytes() == whole[:cut].tobytes()
    crash = np.concatenate([panel.closes[:333], panel.closes[333:] * 0.1])
    assert indicators.over(crash, panel.volumes)[:333].tobytes() == whole[:333].tobytes()
    assert indicators.over(crash, panel.volumes)[333].tobytes() != whole[333].tobytes()


def test_no_instrument_sees_the_rows_of_another() -> None:
    closes = sp500().closes[:150]
    indicators = Indicators(volumes=False)
    whole = indicators.over(closes, None)
    changed = closes.copy()
    changed[:, 7] = changed[::-1, 7]
    found = indicators.over(changed, None)
    others = [column for column in range(20) if column != 7]
    assert found[:, others].tobytes() == whole[:, others].tobytes()
    assert found[60:, 7].tobytes() != whole[60:, 7].tobytes()
    order = np.arange(20)[::-1]
    assert indicators.over(closes[:, order].copy(), None)[:, order].tobytes() == whole.tobytes()


def test_a_state_goes_through_json_without_losing_a_bit(panel: Panel) -> None:
    indicators = Indicators(volumes=True)
    assert panel.volumes is not None
    whole = indicators.over(panel.closes, panel.volumes)
    state = IndicatorState()
    for row in range(120):
        state = IndicatorState.model_validate_json(state.model_dump_json())
        features = indicators.advance(state, panel.closes[row], panel.volumes[row])
        assert (features is None) == (row < indicators.warm_up) == (not indicators.ready(state))
        if features is not None:
            assert features.tobytes() == whole[row].tobytes()
    again = Indicators(**indicators.model_dump(mode="json"))
    assert again == indicators


def test_features_are_cut_to_the_limit() -> None:
    closes = np.concatenate([np.full((70, 1), 1.0), np.full((1, 1), 100.0)])
    found = Indicators(volumes=False).over(closes, None)
    assert found[70].max() == LIMIT


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_rows_that_are_no_prices_are_refused(bad: float) -> None:
    indicators, state = Indicators(volumes=True), IndicatorState()
    with pytest.raises(InvalidData, match="closes must be positive"):
        indicators.advance(state, np.array([1.0, bad]), np.ones(2))
    if bad != 0:
        with pytest.raises(InvalidData, match="volumes must be numbers of 0 or more"):
            indicators.advance(state, np.ones(2), np.array([1.0, bad]))
    with pytest.raises(InvalidData, match="volumes must be numbers"):
        indicators.advance(state, np.ones(2))
    assert state.rows == 0
    indicators.advance(state, np.ones(2), np.ones(2))
    with pytest.raises(InvalidData, match="3 closes follow on rows of 2"):
        indicators.advance(state, np.ones(3), np.ones(3))
    with pytest.raises(InvalidData, match="1 volumes stand beside 2 closes"):
        indicators.advance(state, np.ones(2), np.ones(1))
