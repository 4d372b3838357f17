import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agents.data.providers import FrameProvider
from agents.data.reference import Reference
from schemas import Bar
from streams.errors import ConfigError, InvalidData, MissingData, UnknownSymbol


def utc(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def prices(times: Any, **columns: Any) -> pd.DataFrame:
    n = len(times)
    basic = {"timestamp": times, "open": [10.0] * n, "high": [12.0] * n, "low": [9.0] * n, "close": [11.0] * n}
    return pd.DataFrame({**basic, "volume": [100.0] * n, **columns})


def bars(provider: FrameProvider, symbol: str = "X", interval: str = "1d") -> list[Bar]:
    return [bar for block in provider.bars(symbol, interval, None, None) for bar in block.bars()]


DAILY = ["2012-01-03", "2012-01-04", "2012-01-05"]
MINUTES = ["2022-01-01T00:00", "2022-01-01T00:01", "2022-01-01T00:03"]


def test_raw_daily_bars_of_a_market_that_never_closes() -> None:
    first, *_ = bars(FrameProvider(prices(DAILY), symbol="X"))
    assert first == Bar(
        instrument_id="X.XXXX",
        interval="1d",
        ts_open=utc("2012-01-03"),
        ts_event=utc("2012-01-04"),
        session_date="2012-01-03",
        open=10.0,
        high=12.0,
        low=9.0,
        close=11.0,
        volume=100.0,
        adjustment="raw",
        source="frame",
        synthetic=False,
    )


def test_one_factor_adjusts_prices_and_its_inverse_the_volume() -> None:
    first, *_ = bars(FrameProvider(prices(DAILY, adj_close=[5.5] * 3), symbol="X"))
    assert (first.open, first.high, first.low, first.close, first.volume) == (5.0, 6.0, 4.5, 5.5, 200.0)
    assert first.adjustment == "split_dividend"


def test_column_names_ignore_case_and_symbols_are_told_apart() -> None:
    frame = prices(DAILY * 2, Symbol=["A", "A", "A", "B", "B", "B"]).rename(columns=str.upper)
    provider = FrameProvider(frame.iloc[[0, 3, 1, 4, 2, 5]], reference={"A": Reference(venue="XNYS"), "B": Reference()})
    assert [i.instrument_id for i in provider.instruments().values()] == ["A.XNYS", "B.XXXX"]
    assert bars(provider, "A")[0].ts_event == utc("2012-01-03T21:00")
    assert len(bars(provider, "B")) == 3
    assert list(FrameProvider(frame, symbol="B").instruments()) == ["B"]
    with pytest.raises(UnknownSymbol, match=r"'C' in frame, expected one of \(A, B\)"):
        FrameProvider(frame, symbol="C")


def test_minute_bars_are_stamped_at_their_start() -> None:
    first, *_, last = bars(FrameProvider(prices(MINUTES), symbol="X"), interval="1m")
    assert (first.ts_open, first.ts_event) == (utc("2022-01-01T00:00"), utc("2022-01-01T00:01"))
    assert (last.ts_event, last.interval, last.session_date) == (utc("2022-01-01T00:04"), "1m", "2022-01-01")


def test_minute_bars_may_be_stamped_at_their_close() -> None:
    first, *_ = bars(FrameProvider(prices(MINUTES), symbol="X", reference=Reference(stamp="close")), interval="1m")
    assert (first.ts_open, first.ts_event) == (utc("2021-12-31T23:59"), utc("2022-01-01T00:00"))
    assert first.session_date == "2021-12-31"


def test_the_last_hour_of_a_session_ends_with_it() -> None:
    times = pd.to_datetime(["2012-11-23T16:30", "2012-11-23T17:30"]).tz_localize("UTC")
    *_, last = bars(FrameProvider(prices(times), symbol="X", reference=Reference(venue="XNYS")), interval="1h")
    assert (last.ts_open, last.ts_event) == (utc("2012-11-23T17:30"), utc("2012-11-23T18:00"))


@pytest.mark.parametrize(
    "times",
    [
        pd.to_datetime(DAILY),
        pd.to_datetime(DAILY).tz_localize("America/New_York"),
        pd.to_datetime(DAILY).tz_localize("Asia/Tokyo"),
        [f"{day}T00:00:00+09:00" for day in DAILY],
        [dt.date.fromisoformat(day) for day in DAILY],
        [utc(day) for day in DAILY],
        [utc(day) // 10**3 for day in DAILY],
        [utc(day) // 10**6 for day in DAILY],
        [utc(day) // 10**9 for day in DAILY],
    ],
    ids=["naive", "New York", "Tokyo", "offset", "dates", "ns", "us", "ms", "s"],
)
def test_daily_rows_are_labelled_by_their_date_as_written(times: Any) -> None:
    assert [bar.session_date for bar in bars(FrameProvider(prices(times), symbol="X"))] == DAILY


def test_a_time_with_a_zone_is_converted_and_one_without_is_utc() -> None:
    zoned = [f"{text}:00-05:00" for text in MINUTES]
    assert bars(FrameProvider(prices(zoned), symbol="X"), interval="1m")[0].ts_open == utc("2022-01-01T05:00")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("close", [11.0, np.nan, 11.0], "row 1 .*close is nan, expected a finite number"),
        ("open", [10.0, 10.0, "ten"], "row 2 .*open is ten, expected a finite number"),
        ("low", [9.0, 0.0, 9.0], "row 1 .*low is 0.0, expected a price above 0"),
        ("high", [12.0, 12.0, 10.5], "row 2 .*high is 10.5, which is below open or close"),
        ("low", [10.5, 9.0, 9.0], "row 0 .*low is 10.5, which is above open or close"),
        ("volume", [1.0, -1.0, 1.0], "row 1 .*volume is -1.0, expected a volume of 0 or more"),
        ("volume", [1.0, np.inf, 1.0], "row 1 .*volume is inf"),
        ("adj_close", [1.0, 1.0, -1.0], "row 2 .*adj_close is -1.0, expected a price above 0"),
        ("timestamp", ["2012-01-03", "2012-01-03", "2012-01-04"], "row 1 .*repeats the time of row 0"),
        ("timestamp", ["2012-01-04", "2012-01-03", "2012-01-05"], "row 1 .*is before the time of row 0"),
        ("timestamp", ["2012-01-03", "soon", "2012-01-05"], "row 1 .*timestamp is soon, expected an ISO 8601 time"),
        ("timestamp", ["2012-01-03", None, "2012-01-05"], "row 1 .*expected an ISO 8601 time"),
        ("timestamp", ["1969-12-31", "2012-01-03", "2012-01-05"], "row 0 .*from 1970 to 2262"),
        ("timestamp", ["2012-01-03", "2012-01-05", "9999-12-31"], "row 2 .*timestamp is 9999-12-31, expected"),
        ("timestamp", [20120103, 20120104, 20120105], "row 0 .*expected an ISO date"),
        ("timestamp", [1e9, 1.1e9 + 0.5, 1.2e9], "row 1 .*expected whole units"),
        ("timestamp", [True, True, True], "booleans"),
        ("timestamp", ["2012-01-02", "2012-01-09", "2012-01-16"], "at least 7 days apart"),
        ("symbol", ["A", None, "A"], "row 1 .*expected a symbol"),
    ],
)
def test_wrong_rows_are_refused_by_number(column: str, values: list[Any], message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        FrameProvider(prices(DAILY, **{column: values}), symbol="X")


def test_wrong_tables_are_refused() -> None:
    with pytest.raises(InvalidData, match="no column volume, its columns are"):
        FrameProvider(prices(DAILY).drop(columns="volume"), symbol="X")
    with pytest.raises(InvalidData, match="no rows"):
        FrameProvider(prices([]), symbol="X")
    with pytest.raises(InvalidData, match=r"\['close'\] occur more than once"):
        FrameProvider(prices(DAILY, Close=[1.0] * 3), symbol="X")
    with pytest.raises(ConfigError, match="no symbol column"):
        FrameProvider(prices(DAILY))
    with pytest.raises(InvalidData, match="2012-12-25 is not a session of XNYS"):
        FrameProvider(prices(["2012-12-24", "2012-12-25"]), symbol="X", reference=Reference(venue="XNYS"))


def test_wrong_reference_data_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"tick_size: .*greater than 0, got 0"):
        FrameProvider(prices(DAILY), symbol="X", reference=Reference(tick_size=0))
    with pytest.raises(ConfigError, match="No reference data for 'X'"):
        FrameProvider(prices(DAILY), symbol="X", reference={})


def test_the_interval_is_read_off_the_rows_unless_given() -> None:
    sparse = ["2022-01-01T00:00", "2022-01-01T00:02"]
    with pytest.raises(MissingData, match="has bars of 2m for X, not of 1m"):
        bars(FrameProvider(prices(sparse), symbol="X"), interval="1m")
    given = FrameProvider(prices(sparse), symbol="X", reference=Reference(interval="60s"))
    assert bars(given, interval="1m")[0].ts_event == utc("2022-01-01T00:01")
    with pytest.raises(InvalidData, match="closer together than 5m"):
        FrameProvider(prices(sparse), symbol="X", reference=Reference(interval="5m"))


def test_a_single_bar_needs_its_interval_unless_it_is_a_date() -> None:
    assert bars(FrameProvider(prices(DAILY[:1]), symbol="X"))[0].interval == "1d"
    with pytest.raises(InvalidData, match=r"set Reference\.interval"):
        FrameProvider(prices(["2022-01-01T09:30"]), symbol="X")


def test_long_ranges_come_in_blocks_that_join_without_loss() -> None:
    times = pd.date_range("2022-01-01", periods=2500, freq="min")
    blocks = FrameProvider(prices(times), symbol="X").bars("X", "1m", None, None)
    assert [len(block) for block in blocks] == [1000, 1000, 500]
    assert [int(t) for block in blocks for t in block.open_dt_ns.astype(int) + block.base_ts] == [
        utc("2022-01-01") + i * 60 * 10**9 for i in range(2500)
    ]
