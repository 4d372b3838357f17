"""Bars of several instruments at the same times, as arrays and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agents.data.feed import Row
from schemas import Bar
from schemas.columns import Float64
from streams.errors import MissingData

OHLC = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Panel:
    """T rows of N instruments; a row is a slice of bars, one of each instrument."""

    bars: tuple[tuple[Bar, ...], ...]
    """The bars that it was made of, by instrument_id in each row."""
    prices: Float64
    """Open, high, low and close, shape (T, N, 4)."""
    volume: Float64
    """Shape (T, N)."""
    changed_from: int
    """First row that is not as observed; T: none."""

    @classmethod
    def of(cls, slices: Sequence[Sequence[Row]]) -> Panel:
        """Return the panel of slices; raise MissingData where a slice lacks an instrument or holds other than bars."""
        rows = tuple(_row(slice_) for slice_ in slices)
        if len(rows) < 2:
            raise MissingData(f"the source has {len(rows)} slices in the range, expected at least 2")
        _check_aligned(rows)
        prices = np.array([[[getattr(bar, name) for name in OHLC] for bar in row] for row in rows])
        return cls(rows, prices, np.array([[bar.volume for bar in row] for row in rows]), len(rows))

    @property
    def instruments(self) -> tuple[str, ...]:
        """Return the instrument_ids, in the order of the second axis."""
        return tuple(bar.instrument_id for bar in self.bars[0])

    @property
    def times(self) -> list[int]:
        """Return each row's time, ns UTC."""
        return [row[0].ts_event for row in self.bars]

    @property
    def sessions(self) -> list[str]:
        """Return each row's session, ISO date."""
        return [row[0].session_date for row in self.bars]

    @property
    def returns(self) -> Float64:
        """Return simple returns of the closes, shape (T - 1, N); row i leads to bar i + 1."""
        closes = self.prices[:, :, 3]
        changes: Float64 = closes[1:] / closes[:-1] - 1
        return changes

    def changed(self, prices: Float64, volume: Float64, first: int) -> Panel:
        """Return the panel with other values from a row on."""
        return replace(self, prices=prices, volume=volume, changed_from=min(first, self.changed_from))

    def slices(self, source: str) -> list[Sequence[Row]]:
        """Return the bars; those that are not as observed name another source and are labelled synthetic."""
        made = [
            [self._bar(row, column, source) for column in range(len(self.instruments))]
            for row in range(self.changed_from, len(self.bars))
        ]
        return [*self.bars[: self.changed_from], *made]

    def _bar(self, row: int, column: int, source: str) -> Bar:
        values = dict(zip(OHLC, self.prices[row, column].tolist(), strict=True))
        values |= {"volume": float(self.volume[row, column]), "source": source, "synthetic": True}
        return Bar.model_validate({**vars(self.bars[row][column]), **values})


def _row(slice_: Sequence[Row]) -> tuple[Bar, ...]:
    bars = sorted((row for row in slice_ if isinstance(row, Bar)), key=lambda bar: bar.instrument_id)
    if len(bars) != len(slice_):
        other = next(row for row in slice_ if not isinstance(row, Bar))
        raise MissingData(f"shocks and paths are made of bars; the source has a {type(other).__name__}")
    return tuple(bars)


def _check_aligned(rows: Sequence[Sequence[Bar]]) -> None:
    names = sorted({bar.instrument_id for row in rows for bar in row})
    for row in rows:
        held = [bar.instrument_id for bar in row]
        if held != names:
            lacking = ", ".join(sorted(set(names) - set(held))) or "none, but one twice"
            raise MissingData(
                f"shocks and paths need a bar of each instrument at each time: {row[0].session_date} lacks {lacking}; "
                "take a period that all of them have"
            )
