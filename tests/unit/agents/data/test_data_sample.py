import datetime as dt
import gzip

import numpy as np
import pytest

from agents.data import make_sample
from agents.data.bars import unpack
from agents.data.sources import SAMPLE_NAME, SampleProvider
from schemas import Bar
from streams.errors import ConfigError, MissingData, UnknownSymbol


@pytest.fixture(scope="module")
def sample() -> SampleProvider:
    return SampleProvider()


def on(sample: SampleProvider, symbol: str, date: str) -> Bar:
    day = dt.date.fromisoformat(date)
    (block,) = sample.bars(symbol, "1d", day, day)
    (bar,) = block.bars()
    return bar


def test_the_sample_is_real_and_says_what_it_has(sample: SampleProvider) -> None:
    assert (sample.name, sample.synthetic) == (SAMPLE_NAME, False)
    instruments = sample.instruments()
    assert {symbol: i.instrument_id for symbol, i in instruments.items()} == {
        "AAPL": "AAPL.XNAS",
        "FB": "FB.XNAS",
        "GOOGL": "GOOGL.XNAS",
        "IBM": "IBM.XNYS",
        "MSFT": "MSFT.XNAS",
    }
    ibm = instruments["IBM"]
    assert (ibm.currency, ibm.tick_size, ibm.lot_size, ibm.calendar) == ("USD", 0.01, 1.0, "XNYS")


def test_an_early_close_in_the_sample(sample: SampleProvider) -> None:
    bar = on(sample, "AAPL", "2012-11-23")
    # 571.50 is AAPL's close of that day, 74.109556622672 its adjusted close in the package
    factor = 74.109556622672 / 571.5
    assert bar.close == pytest.approx(74.109556622672, rel=1e-15)
    assert bar.open == 567.17 * factor
    assert bar.volume == pytest.approx(9743800 * 571.5 / 74.109556622672)
    assert bar.ts_open == dt.datetime(2012, 11, 23, 14, 30, tzinfo=dt.UTC).timestamp() * 10**9
    assert bar.ts_event == dt.datetime(2012, 11, 23, 18, tzinfo=dt.UTC).timestamp() * 10**9
    assert (bar.adjustment, bar.source, bar.session_date) == ("split_dividend", SAMPLE_NAME, "2012-11-23")


def test_a_split_is_no_return(sample: SampleProvider) -> None:
    # AAPL split 2:1 on 2005-02-28: 88.99 to 44.86 as traded
    assert on(sample, "AAPL", "2005-02-28").close / on(sample, "AAPL", "2005-02-25").close == pytest.approx(
        2 * 44.86 / 88.99, rel=1e-6
    )


@pytest.mark.parametrize(
    ("symbol", "first", "count"),
    [
        ("AAPL", "2000-03-01", 3270),
        ("GOOGL", "2004-08-19", 2148),
        ("IBM", "2000-03-01", 3270),
        ("MSFT", "2000-03-01", 3270),
        ("FB", "2012-05-18", 196),
    ],
)
def test_every_session_of_the_range_is_there(sample: SampleProvider, symbol: str, first: str, count: int) -> None:
    blocks = sample.bars(symbol, "1d", None, None)
    table = unpack(blocks)
    assert len(table) == count
    assert np.datetime64(int(table.day[0]), "D") == np.datetime64(first)
    assert np.datetime64(int(table.day[-1]), "D") == np.datetime64("2013-03-01")
    assert (np.diff(table.closed) > 0).all()
    assert all(len(block) <= 1000 for block in blocks)


def test_ranges_include_both_ends_and_may_begin_on_a_day_off(sample: SampleProvider) -> None:
    table = unpack(sample.bars("MSFT", "1d", dt.date(2012, 1, 1), dt.date(2012, 12, 31)))
    assert len(table) == 250
    # 2013-03-02 was a Saturday, 2000-03-01 the first session there is
    assert len(unpack(sample.bars("FB", "1d", dt.date(2013, 3, 1), dt.date(2013, 3, 2)))) == 1


def test_what_is_not_there_is_refused(sample: SampleProvider) -> None:
    day = dt.date(2012, 1, 3)
    with pytest.raises(UnknownSymbol, match=r"'TSLA' in sample.*AAPL, FB, GOOGL, IBM, MSFT"):
        sample.bars("TSLA", "1d", None, None)
    with pytest.raises(MissingData, match="FB has 2012-05-18 to 2013-03-01, not all of 2012-01-03 to 2013-03-01"):
        sample.bars("FB", "1d", day, None)
    with pytest.raises(MissingData, match="to 2013-03-01, not all of"):
        sample.bars("AAPL", "1d", day, dt.date(2013, 3, 4))
    with pytest.raises(MissingData, match="no bars from 2012-12-25 to 2012-12-25"):
        sample.bars("AAPL", "1d", dt.date(2012, 12, 25), dt.date(2012, 12, 25))
    with pytest.raises(MissingData, match="has bars of 1d for AAPL, not of 1m"):
        sample.bars("AAPL", "1m", None, None)
    with pytest.raises(ConfigError, match="end 2012-01-02 is before start 2012-01-03"):
        sample.bars("AAPL", "1d", day, dt.date(2012, 1, 2))


def test_the_committed_sample_is_what_the_maker_makes() -> None:
    pytest.importorskip("bokeh_sampledata")
    assert gzip.decompress(make_sample.TARGET.read_bytes()).decode() == make_sample.sample_csv()
    assert make_sample.TARGET.read_bytes()[4:8] == b"\0\0\0\0"
