"""Market data: instruments, bars, and blocks of ticks and bars in columns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from schemas.columns import Doubles, Float64, SmallInts, require
from schemas.message import Currency, Id, InstrumentId, Message, Nanoseconds, Price
from schemas.policies import PolicyInForce
from schemas.risk import KillSwitchSet

Adjustment = Literal["raw", "split", "split_dividend"]
"""raw: as traded; split: adjusted for splits; split_dividend: by adjusted close / close."""
_EPOCH = dt.date(1970, 1, 1)
_LAST_DAY = (dt.date.max - _EPOCH).days
MAX_OFFSET = 2**53
"""Integer-valued float64 offsets are exact below this."""


class Instrument(Message):
    """What is traded, and in which steps."""

    instrument_id: InstrumentId
    """SYMBOL.VENUE."""
    symbol: Id
    """Ticker at the venue."""
    venue: Id
    """Market identifier code (ISO 10383) or the exchange's name."""
    currency: Currency
    """Quote and settlement currency."""
    tick_size: float = Field(gt=0)
    """Smallest price step, in the currency."""
    lot_size: float = Field(gt=0)
    """Smallest quantity step, in units."""
    multiplier: float = Field(default=1.0, gt=0)
    """Currency value of one unit at price 1."""
    calendar: Id
    """Trading calendar: an exchange_calendars name such as XNYS, or 24/7."""


class Bar(Message):
    """Open, high, low, close and volume of one interval of one instrument."""

    instrument_id: InstrumentId
    """SYMBOL.VENUE."""
    interval: Id
    """Length, for example 1m, 1h, 1d."""
    ts_open: Nanoseconds
    """Start of the interval, ns UTC; for a daily bar the session's open."""
    ts_event: Nanoseconds
    """Close of the interval, ns UTC; for a daily bar the session's close."""
    session_date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    """Trading session, ISO date."""
    open: Price
    """First price."""
    high: Price
    """Highest price."""
    low: Price
    """Lowest price."""
    close: Price
    """Last price."""
    volume: float = Field(ge=0)
    """Units traded."""
    adjustment: Adjustment
    """How prices and volume were adjusted."""
    source: Id
    """Where the row came from."""
    synthetic: bool
    """True where the row was generated, not observed."""
    sequence: int = Field(default=0, ge=0, lt=2**63)
    """Order among rows of one instrument, interval and ts_event."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.ts_open > self.ts_event:
            raise ValueError(f"ts_open {self.ts_open} is after ts_event {self.ts_event}")
        dt.date.fromisoformat(self.session_date)
        if not self.low <= min(self.open, self.close) <= max(self.open, self.close) <= self.high:
            raise ValueError(f"open and close must lie between low {self.low} and high {self.high}")
        return self


class Columns(Message):
    """Base of blocks: every column has the same length n >= 1."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and _lists(self) == _lists(other)

    __hash__ = None  # type: ignore[assignment]

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        lengths = {name: len(value) for name, value in self.__dict__.items() if isinstance(value, np.ndarray)}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            raise ValueError(f"columns must have one common length of at least 1, got {lengths}")
        return self

    def to_avro(self) -> dict[str, Any]:
        """Return the record that the Avro writer takes."""
        return {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in self.__dict__.items()}


def _lists(block: Any) -> dict[str, Any]:
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in block.__dict__.items()}


def _check_offsets(base_ts: int, offsets: Float64) -> None:
    require(offsets == np.floor(offsets), "time offsets are whole nanoseconds")
    require((offsets >= 0) & (offsets < MAX_OFFSET), "time offsets lie in [0, 2**53)")
    require(np.diff(offsets, prepend=0) >= 0, "time goes backwards")
    if base_ts + int(offsets[-1]) >= 2**63:
        raise ValueError("time is beyond 2262")


class TickBlock(Columns):
    """Trades of one instrument in columns; a row's time is base_ts + dt_ns."""

    instrument_id: InstrumentId
    """SYMBOL.VENUE."""
    source: Id
    """Where the rows came from."""
    synthetic: bool
    """True where the rows were generated, not observed."""
    base_ts: Nanoseconds
    """Time of the block, ns UTC."""
    seq0: int = Field(ge=0, lt=2**63)
    """Sequence of the first row; row i has seq0 + i."""
    dt_ns: Doubles
    """Whole ns since base_ts, non-decreasing, below 2**53."""
    price: Doubles
    """Trade prices, > 0."""
    size: Doubles
    """Units traded, >= 0."""
    side: SmallInts
    """Aggressor: 0 unknown, 1 buy, 2 sell."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_offsets(self.base_ts, self.dt_ns)
        require(self.price > 0, "price must be positive")
        require(self.size >= 0, "size must not be negative")
        require(self.side <= 2, "side is 0 unknown, 1 buy or 2 sell")
        return self

    def __len__(self) -> int:
        return len(self.price)

    @property
    def ts_event(self) -> int:
        """Time of the last row, ns UTC."""
        return self.base_ts + int(self.dt_ns[-1])

    def times(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Row times, int64 ns UTC, shape (n,)."""
        return self.dt_ns.astype(np.int64) + self.base_ts


class BarBlock(Columns):
    """Bars of one instrument and interval in columns."""

    instrument_id: InstrumentId
    """SYMBOL.VENUE."""
    interval: Id
    """Length, for example 1d."""
    adjustment: Adjustment
    """How prices and volumes were adjusted."""
    source: Id
    """Where the rows came from."""
    synthetic: bool
    """True where the rows were generated, not observed."""
    base_ts: Nanoseconds
    """ts_open of the first row, ns UTC."""
    open_dt_ns: Doubles
    """ts_open minus base_ts, whole ns, non-decreasing."""
    dt_ns: Doubles
    """ts_event minus base_ts, whole ns, non-decreasing."""
    session_day: Doubles
    """Trading session, days since 1970-01-01."""
    open: Doubles
    """First prices."""
    high: Doubles
    """Highest prices."""
    low: Doubles
    """Lowest prices."""
    close: Doubles
    """Last prices."""
    volume: Doubles
    """Units traded."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_offsets(self.base_ts, self.open_dt_ns)
        _check_offsets(self.base_ts, self.dt_ns)
        require(self.open_dt_ns <= self.dt_ns, "ts_open is after ts_event")
        days = self.session_day
        require((days == np.floor(days)) & (days >= 0) & (days <= _LAST_DAY), "session_day is no day since 1970-01-01")
        require(self.low > 0, "prices must be positive")
        require(self.low <= np.minimum(self.open, self.close), "open and close lie at or above low")
        require(self.high >= np.maximum(self.open, self.close), "open and close lie at or below high")
        require(self.volume >= 0, "volume must not be negative")
        return self

    def __len__(self) -> int:
        return len(self.close)

    @property
    def ts_event(self) -> int:
        """ts_event of the last row, ns UTC."""
        return self.base_ts + int(self.dt_ns[-1])

    @classmethod
    def from_bars(cls, bars: Sequence[Bar]) -> BarBlock:
        """Pack bars of one instrument, interval and source, in time order."""
        first = bars[0]
        common = ("instrument_id", "interval", "adjustment", "source", "synthetic")
        for name in common:
            if len({getattr(bar, name) for bar in bars}) != 1:
                raise ValueError(f"a block has one {name}")
        return cls(
            **{name: getattr(first, name) for name in common},
            base_ts=first.ts_open,
            open_dt_ns=[bar.ts_open - first.ts_open for bar in bars],
            dt_ns=[bar.ts_event - first.ts_open for bar in bars],
            session_day=[_day(bar.session_date) for bar in bars],
            **{name: [getattr(bar, name) for bar in bars] for name in ("open", "high", "low", "close", "volume")},
        )

    def bars(self) -> Iterator[Bar]:
        """Yield the rows as single bars."""
        columns = (
            self.open_dt_ns,
            self.dt_ns,
            self.session_day,
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
        )
        for opened, closed, day, o, h, low, c, v in zip(*(column.tolist() for column in columns), strict=True):
            yield Bar(
                instrument_id=self.instrument_id,
                interval=self.interval,
                ts_open=self.base_ts + int(opened),
                ts_event=self.base_ts + int(closed),
                session_date=(_EPOCH + dt.timedelta(days=day)).isoformat(),
                open=o,
                high=h,
                low=low,
                close=c,
                volume=v,
                adjustment=self.adjustment,
                source=self.source,
                synthetic=self.synthetic,
            )


def _day(session_date: str) -> int:
    return (dt.date.fromisoformat(session_date) - _EPOCH).days


class SliceClosed(Message):
    """A source has published all it has for a slice: market data of an instant or window, or what a pool made of it."""

    ts_event: Nanoseconds
    """The slice: time of its last market-data row, ns UTC."""
    source: Id
    """Who closed it: feed, or a pool's name."""
    partition: int = Field(ge=0, lt=2**63)
    """The source's own partition; 0 for the feed."""
    stage: Id
    """Which of the source's stages is complete: data, match, accept, decide, construct, control."""
    runs: tuple[Id, ...] = Field(default=(), fail_fast=True)
    """From the feed: the runs that are active in this slice."""
    rows: int = Field(default=0, ge=0, lt=2**63)
    """From the feed: market-data rows it put into this partition for this slice."""
    switches: tuple[KillSwitchSet, ...] = Field(default=(), fail_fast=True)
    """From the feed: the last word of an operator on each account that is halted, and each release once."""
    policies: tuple[PolicyInForce, ...] = ()
    """From the feed: the newest version of each policy that an active run names."""
