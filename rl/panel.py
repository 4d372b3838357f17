"""A panel: the bars of several instruments on one common time line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, reduce
from importlib.resources import as_file, files
from typing import Self

import numpy as np
import pandas as pd

from agents.data.bars import BarTable, Heading, heading_of, unpack
from agents.data.calendars import Int64, iso_date, session_times
from agents.data.reference import unknown_symbol
from schemas.columns import Float64
from schemas.market import Adjustment, BarBlock
from streams.errors import ConfigError, InvalidData, MissingData

SP500_SOURCE = "sample:skfolio-sp500"
_NASDAQ = ("AAPL", "AMD", "MSFT", "PEP")
"""Shares that were listed there at the sample's end; the others at the New York Stock Exchange, with the same hours."""


@dataclass(frozen=True)
class Panel:
    """Bars of N instruments at T common times, each array checked; no row is made up."""

    instrument_ids: tuple[str, ...]
    """SYMBOL.VENUE, in the order of the columns."""
    interval: str
    """Length of a bar, for example 1d."""
    times: Int64
    """Closes of the bars, ns UTC, ascending, shape (T,)."""
    session_dates: tuple[str, ...]
    """Trading session of each row, ISO date."""
    closes: Float64
    """Shape (T, N)."""
    opens: Float64 | None
    """Shape (T, N); none where the source has closes only."""
    volumes: Float64 | None
    """Units, shape (T, N); none where the source has closes only."""
    adjustment: Adjustment
    """How prices and volumes were adjusted; the splits and dividends of a raw panel are mere changes of price."""
    source: str
    """Where the rows come from."""
    synthetic: bool
    """True where they were generated, not observed."""
    note: str = ""
    """What was left out to line the instruments up; empty where nothing was."""

    def __post_init__(self) -> None:
        """Raise InvalidData for shapes that differ, times that go back, prices that are not positive and finite."""
        shape = (len(self.times), len(self.instrument_ids))
        if 0 in shape or len(set(self.instrument_ids)) < shape[1]:
            raise InvalidData(f"{self.source}: a panel needs rows and distinct instruments, got {shape}")
        if len(self.session_dates) != shape[0] or (np.diff(self.times) <= 0).any():
            raise InvalidData(f"{self.source}: times must ascend, each with its session date")
        for name, least in (("closes", np.nextafter(0, 1)), ("opens", np.nextafter(0, 1)), ("volumes", 0.0)):
            column = getattr(self, name)
            if column is not None:
                self._check(name, column, shape, least)

    def _check(self, name: str, column: Float64, shape: tuple[int, int], least: float) -> None:
        if column.shape != shape:
            raise InvalidData(f"{self.source}: {name} have shape {column.shape}, expected {shape}")
        wrong = np.argwhere(~((column >= least) & (column < np.inf)))
        if wrong.size:
            row, at = wrong[0]
            expected = "0 or more" if name == "volumes" else "a positive number"
            where = f"{self.instrument_ids[at]} on {self.session_dates[row]}"
            raise InvalidData(f"{self.source}: {name} of {where} is {column[row, at]}, expected {expected}")

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, rows: slice) -> Self:
        return replace(
            self,
            times=self.times[rows],
            session_dates=self.session_dates[rows],
            closes=self.closes[rows],
            opens=None if self.opens is None else self.opens[rows],
            volumes=None if self.volumes is None else self.volumes[rows],
        )

    def of_instruments(self, names: Sequence[str]) -> Self:
        """Return the columns of these instruments, in this order; a bare symbol will do where it is unique."""
        full = {name: name for name in self.instrument_ids}
        symbols = [name.rsplit(".", 1)[0] for name in self.instrument_ids]
        bare = {s: name for s, name in zip(symbols, full, strict=True) if symbols.count(s) == 1}
        unknown = [name for name in names if name not in full | bare]
        if unknown:
            raise unknown_symbol(unknown[0], self.source, bare)
        at = [self.instrument_ids.index((full | bare)[name]) for name in names]
        return replace(
            self,
            instrument_ids=tuple(self.instrument_ids[column] for column in at),
            closes=self.closes[:, at],
            opens=None if self.opens is None else self.opens[:, at],
            volumes=None if self.volumes is None else self.volumes[:, at],
        )

    @classmethod
    def of(cls, blocks: Iterable[BarBlock], instrument_ids: Sequence[str] | None = None) -> Self:
        """Return the bars of blocks at the times that all instruments have; note says what was left out.

        Columns come in the order of instrument_ids, else sorted. Raises ConfigError where series differ in interval,
        adjustment or source, MissingData for an instrument without blocks, InvalidData where no time is common.
        """
        series = _series(blocks)
        names = tuple(sorted(series)) if instrument_ids is None else tuple(instrument_ids)
        missing = [name for name in names if name not in series]
        if missing or not names:
            raise MissingData(f"no bars of {', '.join(missing) or 'any instrument'}, there are {sorted(series)}")
        heading = _common([heading for heading, _ in (series[name] for name in names)])
        tables = [table for _, table in (series[name] for name in names)]
        times = reduce(np.intersect1d, [table.closed for table in tables])
        if not times.size:
            raise InvalidData(f"{heading.source}: {', '.join(names)} have no bar in common")
        rows = [np.searchsorted(table.closed, times) for table in tables]
        dropped = [
            f"{name} {len(t) - len(times)}" for name, t in zip(names, tables, strict=True) if len(t) > len(times)
        ]
        return cls(
            instrument_ids=names,
            interval=heading.interval,
            times=times,
            session_dates=tuple(iso_date(day) for day in tables[0].day[rows[0]]),
            closes=np.stack([t.close[at] for t, at in zip(tables, rows, strict=True)], axis=1),
            opens=np.stack([t.open[at] for t, at in zip(tables, rows, strict=True)], axis=1),
            volumes=np.stack([t.volume[at] for t, at in zip(tables, rows, strict=True)], axis=1),
            adjustment=heading.adjustment,
            source=heading.source,
            synthetic=heading.synthetic,
            note=f"bars that not all instruments have were left out: {', '.join(dropped)}" if dropped else "",
        )


@cache
def sp500() -> Panel:
    """Return the sample of closes in the package: real daily closes of 20 US shares, 1990-01-02 to 2022-12-28.

    Adjusted for splits and dividends. All 20 lasted to its end: results on them say nothing about survivors' bias.
    """
    with as_file(files("rl") / "sp500.csv.gz") as path:
        frame = pd.read_csv(path, index_col="date")
    dates = tuple(str(date) for date in frame.index)
    return Panel(
        instrument_ids=tuple(f"{name}.{'XNAS' if name in _NASDAQ else 'XNYS'}" for name in frame.columns),
        interval="1d",
        times=session_times("XNYS", np.array(dates, "datetime64[D]"))[1],
        session_dates=dates,
        closes=np.ascontiguousarray(frame.to_numpy(np.float64)),
        opens=None,
        volumes=None,
        adjustment="split_dividend",
        source=SP500_SOURCE,
        synthetic=False,
    )


def _series(blocks: Iterable[BarBlock]) -> dict[str, tuple[Heading, BarTable]]:
    found: dict[str, list[BarBlock]] = {}
    for block in blocks:
        found.setdefault(block.instrument_id, []).append(block)
    return {name: (_common([heading_of(block) for block in own]), unpack(own)) for name, own in found.items()}


def _common(headings: Sequence[Heading]) -> Heading:
    for name in ("interval", "adjustment", "source", "synthetic"):
        values = sorted({str(getattr(heading, name)) for heading in headings})
        if len(values) > 1:
            raise ConfigError(f"the bars of a panel have one {name}, got {', '.join(values)}")
    return headings[0]
