"""What a feed publishes, in which transactions, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.data.feed import Feed
from agents.data.reference import Reference
from agents.data.slicing import slice_ts
from infra.cli import feeding
from infra.cli.feed_source import Source, Wanted, open_source
from infra.cli.feed_times import date_of, end_ns, start_ns, window_length
from infra.cli.feeding import Pace, publish
from streams.clock import WallClock
from streams.errors import ConfigError, MissingData, UnknownSymbol
from streams.host import create_topology
from streams.memory_broker import MemoryBroker
from streams.serde import Serde

PARTITIONS = {"account": 1, "instrument": 1, "workflow": 1}
DAY_NS = 86_400 * 10**9


def wanted(
    *symbols: str, start: str = "", end: str = "", interval: str = "", bars: str = "", count: int = 100
) -> Wanted:
    return Wanted(symbols, start, end, interval, 10**9, bars, count, Reference(venue="SIM", lot_size=0.1))


def sample(end: str = "2012-01-10") -> Source:
    return open_source("sample", wanted("AAPL", "MSFT", start="2012-01-03", end=end))


@pytest.fixture
async def feed() -> AsyncIterator[Feed]:
    broker = MemoryBroker()
    await create_topology(broker, PARTITIONS, [])
    async with Feed.open(broker, PARTITIONS, WallClock(), Serde()) as opened:
        yield opened


def test_sample_bars_are_slices_of_one_close() -> None:
    source = sample()
    slices = list(source.slices)
    assert (source.rows, len(slices), source.synthetic) == (12, 6, False)
    assert [row.instrument_id for row in slices[0]] == ["AAPL.XNAS", "MSFT.XNAS"]


def test_a_file_of_bars_says_its_own_interval(tmp_path: Path) -> None:
    path = tmp_path / "minutes.csv"
    rows = "".join(f"2022-01-01 00:0{minute}:00,1,1,1,1,5\n" for minute in range(3))
    path.write_text("timestamp,open,high,low,close,volume\n" + rows)
    source = open_source(str(path), wanted("BTC"))
    assert [(row.interval, row.instrument_id) for rows in source.slices for row in rows] == [("1m", "BTC.SIM")] * 3  # type: ignore[union-attr]
    assert source.instruments[0].lot_size == 0.1
    assert open_source(f"ETH={path}", wanted()).instruments[0].instrument_id == "ETH.SIM"
    with pytest.raises(ConfigError, match="has no symbol column: name its one symbol with --symbols, got none"):
        open_source(str(path), wanted())


def test_a_file_with_prices_and_quantities_holds_trades(tmp_path: Path) -> None:
    path = tmp_path / "trades.csv"
    path.write_text("symbol,timestamp,price,quantity\n" + "".join(f"A,{1_600_000_000 + i},10,1\n" for i in range(5)))
    source = open_source(str(path), wanted())
    assert (source.name, source.rows, len(list(source.slices))) == ("trades:trades.csv", 5, 5)
    cut = open_source(str(path), wanted(start="2020-09-13T12:26:41", end="2020-09-13T12:26:43"))
    assert cut.rows == 2
    with pytest.raises(MissingData, match="has trades from 2020-09-13"):
        open_source(str(path), wanted(start="2021-01-01"))


def test_generated_trades_are_labelled_and_repeatable() -> None:
    first, again = (open_source("synthetic:7", wanted("A", "B")) for _ in range(2))
    assert (first.name, first.synthetic, first.rows) == ("synthetic:seed=7", True, 200)
    assert list(first.slices) == list(again.slices)
    with pytest.raises(ConfigError, match="whole number as seed"):
        open_source("synthetic:x", wanted())


def test_an_unknown_symbol_names_those_there_are() -> None:
    with pytest.raises(UnknownSymbol, match="AAPL"):
        open_source("sample", wanted("NOPE"))


async def test_slices_go_out_in_transactions_of_several(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "BATCH_SLICES", 4)
    told: list[int] = []
    fed = await publish(feed, sample().slices, Pace(None), asyncio.Event(), told.append)
    assert (fed.slices, fed.passed, fed.rows, fed.interrupted, told) == (6, 0, {"bars": 12}, False, [8, 4])
    assert fed.until == fed.last == feed.state.last_slice


async def test_a_feed_goes_on_where_the_last_one_stopped(feed: Feed) -> None:
    await publish(feed, sample("2012-01-06").slices, Pace(None), asyncio.Event(), lambda rows: None)
    fed = await publish(feed, sample().slices, Pace(None), asyncio.Event(), lambda rows: None)
    assert (fed.slices, fed.passed, fed.rows) == (2, 4, {"bars": 4})
    nothing = await publish(feed, sample().slices, Pace(None), asyncio.Event(), lambda rows: None)
    assert (nothing.slices, nothing.passed, nothing.first) == (0, 6, -1)


async def test_a_stop_ends_it_between_transactions(feed: Feed) -> None:
    stop = asyncio.Event()
    slices = list(sample().slices)
    # At this pace the second slice is due long after the test.
    publishing = asyncio.create_task(publish(feed, slices, Pace(1.0), stop, lambda rows: stop.set()))
    fed = await asyncio.wait_for(publishing, 5)
    assert (fed.slices, fed.interrupted, fed.last) == (1, True, slice_ts(slices[0]))


async def test_a_pace_waits_by_event_time() -> None:
    pace = Pace(speed=86_400)
    assert pace.wait_s(5 * DAY_NS) == 0
    assert pace.wait_s(6 * DAY_NS) == pytest.approx(1, abs=0.1)
    assert Pace(None).wait_s(7 * DAY_NS) == 0


def test_times_as_users_write_them() -> None:
    assert start_ns("1980-01-01") == 3652 * DAY_NS
    assert end_ns("1980-01-01") == 3653 * DAY_NS
    assert end_ns("1980-01-01T12:00:00") == 3652 * DAY_NS + DAY_NS // 2
    assert (start_ns(""), end_ns(""), date_of("start", "")) == (None, None, None)
    assert (window_length("250ms"), window_length("2s")) == (250_000_000, 2_000_000_000)
    with pytest.raises(ConfigError, match="--end '3 May' is no ISO date"):
        date_of("end", "3 May")
