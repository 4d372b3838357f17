from __future__ import annotations

import gzip
from dataclasses import replace

import numpy as np
import pytest

from agents.data.bars import heading_of, pack, unpack
from agents.data.sources import SampleProvider
from agents.transaction_cost.model import interval_volatility
from rl import make_sp500
from rl.indicators import Indicators
from rl.market import Market, observation
from rl.panel import SP500_SOURCE, Panel, sp500
from schemas import BarBlock
from streams.errors import ConfigError, InvalidData, MissingData, UnknownSymbol


def blocks(*symbols: str) -> list[BarBlock]:
    provider = SampleProvider()
    return [block for name in symbols for block in provider.bars(name, "1d", None, None)]


def test_a_panel_has_the_bars_of_its_blocks() -> None:
    given = blocks("MSFT", "AAPL")
    panel = Panel.of(given)
    assert panel.instrument_ids == ("AAPL.XNAS", "MSFT.XNAS")
    assert (panel.interval, panel.adjustment, panel.synthetic) == ("1d", "split_dividend", False)
    assert (panel.source, panel.note) == ("sample:bokeh-sampledata", "")
    table = unpack([block for block in given if block.instrument_id == "MSFT.XNAS"])
    assert panel.opens is not None
    assert panel.volumes is not None
    for column, expected in ((panel.closes, table.close), (panel.opens, table.open), (panel.volumes, table.volume)):
        assert (column[:, 1] == expected).all()
    assert (panel.times == table.closed).all()
    assert (panel.session_dates[0], panel.session_dates[-1]) == ("2000-03-01", "2013-03-01")
    assert Panel.of(given, ["MSFT.XNAS"]).instrument_ids == ("MSFT.XNAS",)


def test_only_common_bars_stay_and_the_note_says_what_went() -> None:
    given = blocks("AAPL", "FB")
    table = unpack([block for block in given if block.instrument_id == "FB.XNAS"])
    holes = np.ones(len(table), np.bool_)
    holes[[50, 51]] = False
    kept = replace(table, **{name: getattr(table, name)[holes] for name in vars(table)})
    rest = [block for block in given if block.instrument_id != "FB.XNAS"]
    panel = Panel.of([*rest, *pack(kept, heading_of(given[-1]))])
    assert len(Panel.of(given)) == 196
    assert len(panel) == 194
    assert panel.note == "bars that not all instruments have were left out: AAPL.XNAS 3076"
    assert (panel.closes[:, 1] == kept.close).all()
    assert panel.session_dates[0] == "2012-05-18"


def test_series_that_do_not_belong_together_are_refused() -> None:
    given = blocks("AAPL", "IBM")
    other = given[-1].model_copy(update={"interval": "1h"})
    with pytest.raises(ConfigError, match="a panel have one interval, got 1d, 1h"):
        Panel.of([*given[:-1], other])
    made_up = [block.model_copy(update={"synthetic": True}) for block in blocks("IBM")]
    with pytest.raises(ConfigError, match="one synthetic, got False, True"):
        Panel.of([*blocks("AAPL"), *made_up])
    with pytest.raises(MissingData, match=r"no bars of TSLA\.XNAS, there are \['AAPL.XNAS', 'IBM.XNYS'\]"):
        Panel.of(given, ["TSLA.XNAS"])
    with pytest.raises(MissingData, match="no bars of any instrument"):
        Panel.of([])
    first, last = blocks("AAPL")[:1], blocks("IBM")[-1:]
    with pytest.raises(InvalidData, match="have no bar in common"):
        Panel.of([*first, *last])


def test_bad_rows_are_refused() -> None:
    panel = Panel.of(blocks("AAPL", "IBM"))[:30]
    for name, bad, expected in (
        ("closes", np.nan, "a positive number"),
        ("closes", 0.0, "a positive number"),
        ("opens", np.inf, "a positive number"),
        ("volumes", -1.0, "0 or more"),
    ):
        column = getattr(panel, name).copy()
        column[4, 1] = bad
        with pytest.raises(InvalidData, match=f"{name} of IBM.XNYS on 2000-03-07 is .*, expected {expected}"):
            replace(panel, **{name: column})
    with pytest.raises(InvalidData, match="times must ascend"):
        replace(panel, times=panel.times[::-1])
    with pytest.raises(InvalidData, match=r"closes have shape \(30, 1\)"):
        replace(panel, closes=panel.closes[:, :1])
    with pytest.raises(InvalidData, match="distinct instruments"):
        replace(panel, instrument_ids=("A.B", "A.B"))


def test_the_twenty_shares_are_what_their_package_has() -> None:
    pytest.importorskip("skfolio")
    assert gzip.decompress(make_sp500.TARGET.read_bytes()).decode() == make_sp500.sp500_csv()
    assert make_sp500.TARGET.read_bytes()[4:8] == b"\0\0\0\0"


def test_the_twenty_shares_say_what_they_are() -> None:
    panel = sp500()
    assert panel.closes.shape == (8313, 20)
    assert (panel.session_dates[0], panel.session_dates[-1]) == ("1990-01-02", "2022-12-28")
    assert (panel.source, panel.synthetic, panel.adjustment) == (SP500_SOURCE, False, "split_dividend")
    assert (panel.opens, panel.volumes) == (None, None)
    assert panel.instrument_ids[:3] == ("AAPL.XNAS", "AMD.XNAS", "BAC.XNYS")
    assert panel.closes[0, :3].tolist() == [0.264, 4.125, 4.599]
    # 16:00 in New York, 1990-01-02; the session of 2022-11-25 closed at 13:00
    assert panel.times[0] == np.datetime64("1990-01-02T21:00", "ns").astype(np.int64)
    early = panel.session_dates.index("2022-11-25")
    assert panel.times[early] == np.datetime64("2022-11-25T18:00", "ns").astype(np.int64)


def test_columns_of_a_panel_are_chosen_by_symbol() -> None:
    whole = sp500()
    part = whole.of_instruments(["XOM", "AAPL.XNAS"])
    assert part.instrument_ids == ("XOM.XNYS", "AAPL.XNAS")
    assert (part.closes == whole.closes[:, [19, 0]]).all()
    assert (part.opens, part.session_dates) == (None, whole.session_dates)
    bars = Panel.of(blocks("AAPL", "IBM"))
    turned = bars.of_instruments(["IBM", "AAPL"])
    assert (turned.opens == bars.opens[:, ::-1]).all()  # type: ignore[index]
    assert (turned.volumes == bars.volumes[:, ::-1]).all()  # type: ignore[index]
    with pytest.raises(UnknownSymbol, match=r"'TSLA' in sample:skfolio-sp500, expected one of \(AAPL, AMD"):
        whole.of_instruments(["AAPL", "TSLA"])


def test_a_market_begins_where_features_do_and_cuts_keep_them() -> None:
    panel = Panel.of(blocks("AAPL", "IBM"))[:400]
    market = Market.of(panel)
    assert len(market) == 340
    assert market.panel.session_dates[0] == panel.session_dates[60]
    assert market.features.shape == (340, 2, 10)
    assert market.features.dtype == np.float32
    assert np.isfinite(market.features).all()
    assert market.volatility[0, 1] == pytest.approx(interval_volatility(panel.closes[40:60, 1]), rel=1e-12)
    assert market.volatility[-1, 0] == pytest.approx(interval_volatility(panel.closes[379:399, 0]), rel=1e-12)
    year = market.between("2001-01-01", "2001-06-30")
    begin = market.panel.session_dates.index("2001-01-02")
    assert (year.panel.session_dates[0], year.panel.session_dates[-1]) == ("2001-01-02", "2001-06-29")
    assert year.features.tobytes() == market.features[begin : begin + len(year)].tobytes()
    assert (year.volatility == market.volatility[begin : begin + len(year)]).all()
    assert len(market.between()) == len(market)
    # known whole: what comes after a cut changes nothing in it
    again = Market.of(panel[:380]).between("2001-01-01", "2001-06-30")
    assert again.features.tobytes() == year.features.tobytes()


def test_a_market_that_is_too_short_or_lacks_volumes_is_refused() -> None:
    panel = Panel.of(blocks("AAPL", "IBM"))
    with pytest.raises(MissingData, match="has 61 rows, features need 60 before the first and 2 more"):
        Market.of(panel[:61])
    assert len(Market.of(panel[:62])) == 2
    with pytest.raises(ConfigError, match="closes only: volume features need volumes"):
        Market.of(sp500()[:100], Indicators(volumes=True))
    with pytest.raises(MissingData, match=r"features from .* fewer than 2 rows from 2020-01-01 to None"):
        Market.of(panel[:100]).between("2020-01-01")


def test_an_observation_is_features_then_weights_then_cash() -> None:
    features = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    seen = observation(features, np.array([0.25, -0.5]))
    assert seen.dtype == np.float32
    assert seen.tolist() == [1, 2, 3, 4, 5, 6, 0.25, -0.5, 1.25]
    assert observation(features, np.array([1e6, -1e6])).tolist()[-3:] == [10, -10, 1]
