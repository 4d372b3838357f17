import datetime as dt

import numpy as np
import pytest

from agents.data.calendars import enclosing_sessions, has_sessions, nearest_sessions, session_times
from agents.data.intervals import DAY_NS, interval_name, interval_ns
from streams.errors import ConfigError, InvalidData


def utc(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def days(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[D]")


def test_sessions_follow_daylight_saving_time_and_early_closes() -> None:
    # US clocks went back on 2012-11-04; the day after Thanksgiving closes at 13:00 in New York
    opens, closes = session_times("XNYS", [dt.date(2012, 11, 2), dt.date(2012, 11, 5), dt.date(2012, 11, 23)])
    assert opens.tolist() == [utc("2012-11-02T13:30"), utc("2012-11-05T14:30"), utc("2012-11-23T14:30")]
    assert closes.tolist() == [utc("2012-11-02T20:00"), utc("2012-11-05T21:00"), utc("2012-11-23T18:00")]


@pytest.mark.parametrize("calendar", ["XNYS", "XNAS"])
def test_sessions_reach_back_beyond_twenty_years(calendar: str) -> None:
    opens, closes = session_times(calendar, days("2000-03-01"))
    assert (opens[0], closes[0]) == (utc("2000-03-01T14:30"), utc("2000-03-01T21:00"))


def test_a_calendar_that_is_recorded_from_a_later_date_is_used_from_there() -> None:
    opens, _ = session_times("XTKS", days("2010-01-04"))
    assert opens[0] == utc("2010-01-04T00:00")
    with pytest.raises(InvalidData, match="1980-01-04 is not a session of XTKS"):
        session_times("XTKS", days("1980-01-04"))


def test_a_day_of_a_market_that_never_closes_is_the_utc_day() -> None:
    opens, closes = session_times("24/7", days("2022-01-01"))
    assert (opens[0], closes[0]) == (utc("2022-01-01"), utc("2022-01-02"))


@pytest.mark.parametrize("date", ["2012-10-29", "2012-11-24", "2200-01-03"])
def test_a_date_without_a_session_is_refused(date: str) -> None:
    with pytest.raises(InvalidData, match=f"{date} is not a session of XNYS"):
        session_times("XNYS", days("2012-11-23", date))


def test_an_unknown_calendar_is_refused() -> None:
    with pytest.raises(ConfigError, match="Unknown calendar 'XNOPE'"):
        session_times("XNOPE", days("2012-11-23"))


def test_has_sessions_counts_both_ends() -> None:
    friday = utc("2012-11-23") // DAY_NS
    saturday, sunday, monday = friday + 1, friday + 2, friday + 3
    assert not has_sessions("XNYS", saturday, sunday)
    assert has_sessions("XNYS", saturday, monday)
    assert has_sessions("XNYS", friday, friday)
    assert not has_sessions("XNYS", monday, friday)
    assert has_sessions("24/7", saturday, sunday)
    assert has_sessions("XNYS", 10**6, 10**6 + 1)


def test_an_interval_belongs_to_the_session_it_overlaps() -> None:
    starts = np.array([utc("2012-11-23T14:00"), utc("2012-11-23T17:30")])
    found = enclosing_sessions("XNYS", starts, starts + interval_ns("1h"))
    assert found.days.tolist() == [utc("2012-11-23") // DAY_NS] * 2
    assert found.opens[0] == utc("2012-11-23T14:30")
    assert found.closes[1] == utc("2012-11-23T18:00")


@pytest.mark.parametrize("start", ["2012-11-23T18:00", "2012-11-23T13:30", "2012-11-24T15:00"])
def test_an_interval_outside_all_sessions_is_refused(start: str) -> None:
    starts = np.array([utc(start)])
    with pytest.raises(InvalidData, match="outside the sessions of XNYS"):
        enclosing_sessions("XNYS", starts, starts + interval_ns("1h"))


def test_a_time_before_or_after_hours_belongs_to_the_nearest_session() -> None:
    times = np.array([utc(t) for t in ("2012-11-23T09:00", "2012-11-23T15:00", "2012-11-23T21:00", "2012-11-26T09:00")])
    nearest = nearest_sessions("XNYS", times) * DAY_NS
    assert nearest.tolist() == [utc(d) for d in ("2012-11-23", "2012-11-23", "2012-11-23", "2012-11-26")]


@pytest.mark.parametrize(("name", "seconds"), [("1s", 1), ("90s", 90), ("5m", 300), ("1h", 3600), ("1d", 86400)])
def test_intervals_have_one_name(name: str, seconds: int) -> None:
    assert interval_ns(name) == seconds * 10**9
    assert interval_name(seconds * 10**9) == name


@pytest.mark.parametrize("name", ["", "0m", "1", "m", "1 m", "1w", "-1d", "1D"])
def test_unknown_intervals_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="Unknown interval"):
        interval_ns(name)


def test_lengths_below_a_second_have_no_name() -> None:
    with pytest.raises(ConfigError, match="500000000 ns"):
        interval_name(500_000_000)
    assert interval_name(interval_ns("60m")) == "1h"
