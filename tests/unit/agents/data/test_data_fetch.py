import datetime as dt
from typing import Any

import pandas as pd
import pytest

from agents.data.fetch import FetchParameters, fetch, fetch_first
from agents.data.providers import FrameProvider, Provider
from agents.data.sources import SampleProvider
from streams.errors import ConfigError, MissingData, UnknownSymbol


@pytest.fixture(scope="module")
def sample() -> SampleProvider:
    return SampleProvider()


def small(days: int, **options: Any) -> Provider:
    n = range(days)
    times = pd.date_range("2022-01-01", periods=days)
    ones = {name: [1.0 for _ in n] for name in ("open", "high", "low", "close", "volume")}
    return FrameProvider(pd.DataFrame({"date": times, **ones}), symbol="X", **options)


def read(**values: Any) -> FetchParameters:
    return FetchParameters.read(values)


def test_a_range_of_several_symbols(sample: SampleProvider) -> None:
    fetched = fetch(sample, read(symbols=["MSFT", "GOOGL.XNAS"], start="2012-01-03", end="2012-01-31"))
    assert [i.instrument_id for i in fetched.instruments] == ["MSFT.XNAS", "GOOGL.XNAS"]
    assert [(b.instrument_id, len(b)) for b in fetched.blocks] == [("MSFT.XNAS", 20), ("GOOGL.XNAS", 20)]
    assert (fetched.provider, fetched.synthetic) == ("sample:bokeh-sampledata", False)
    assert fetched.note == (
        "sample:bokeh-sampledata (real): MSFT.XNAS, GOOGL.XNAS: 20 bars of 1d, 2012-01-03 to 2012-01-31"
    )


@pytest.mark.parametrize(("lookback", "count"), [(0, 252), (251, 252), (252, 253), (400, 401)])
def test_without_dates_the_last_year_or_the_lookback_comes(sample: SampleProvider, lookback: int, count: int) -> None:
    fetched = fetch(sample, read(symbols=["AAPL"], lookback=lookback))
    assert sum(map(len, fetched.blocks)) == count
    assert f"no dates asked, the last {count} bars of 1d" in fetched.note
    assert fetched.note.endswith("to 2013-03-01")


def test_less_than_a_year_is_all_there_is_but_a_lookback_is_not_cut() -> None:
    fetched = fetch(small(5, synthetic=True), read(symbols=["X"], lookback=4))
    assert fetched.note == "frame (synthetic): X.XXXX: no dates asked, the last 5 bars of 1d, 2022-01-01 to 2022-01-05"
    with pytest.raises(MissingData, match="frame has 5 bars of X, a lookback needs 6"):
        fetch(small(5), read(symbols=["X"], lookback=5))


def test_one_open_end(sample: SampleProvider) -> None:
    fetched = fetch(sample, read(symbols=["IBM"], end="2001-12-31"))
    assert fetched.note.endswith("IBM.XNYS: 460 bars of 1d, 2000-03-01 to 2001-12-31")


def test_period_is_the_interval() -> None:
    assert read(symbols=["X"], period="5m").interval == "5m"
    assert read(symbols=["X"], period="1d", interval="1d").interval == "1d"
    assert read(symbols=["X"], start=dt.date(2012, 1, 3)).start == dt.date(2012, 1, 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"symbols": []}, "symbols: .*at least 1"),
        ({"symbols": "AAPL"}, "symbols: .*got 'AAPL'"),
        ({"symbols": ["A", "A"]}, "symbols repeat"),
        ({}, "symbols: Field required"),
        ({"symbols": ["A"], "period": "1d", "interval": "1m"}, "interval '1m' and period '1d' differ"),
        ({"symbols": ["A"], "interval": "1y"}, "Unknown interval '1y'"),
        ({"symbols": ["A"], "start": "2012-13-01"}, "start: .*month"),
        ({"symbols": ["A"], "start": 15000}, "start: .*valid date"),
        ({"symbols": ["A"], "start": dt.datetime(2012, 1, 3, 9)}, "start: "),
        ({"symbols": ["A"], "lookback": -1}, "lookback: "),
        ({"symbols": ["A"], "window": 5}, "window: "),
    ],
)
def test_wrong_parameters_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FetchParameters.read(values)


def test_end_before_start_is_a_wrong_parameter(sample: SampleProvider) -> None:
    with pytest.raises(ConfigError, match="is before start"):
        fetch(sample, read(symbols=["IBM"], start="2012-01-04", end="2012-01-03"))


def test_the_first_provider_that_has_everything_serves_it(sample: SampleProvider) -> None:
    providers = [small(5), sample]
    assert fetch_first(providers, read(symbols=["X"])).provider == "frame"
    assert fetch_first(providers, read(symbols=["AAPL"])).provider == "sample:bokeh-sampledata"
    with pytest.raises(UnknownSymbol, match=r"'AAPL' in frame.*'X' in sample"):
        fetch_first(providers, read(symbols=["X", "AAPL"]))


def test_each_provider_gives_its_reason(sample: SampleProvider) -> None:
    with pytest.raises(MissingData, match=r"'IBM' in frame.*; sample.*IBM has 2000-03-01 to 2013-03-01"):
        fetch_first([small(5), sample], read(symbols=["IBM"], start="2023-01-01", end="2023-12-31"))
    with pytest.raises(UnknownSymbol, match=r"'TSLA' in frame.*; .*'TSLA' in sample"):
        fetch_first([small(5), sample], read(symbols=["TSLA"]))
    with pytest.raises(MissingData, match="No data provider"):
        fetch_first([], read(symbols=["TSLA"]))
