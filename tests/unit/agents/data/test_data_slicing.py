"""Slices of bars and of trades."""

from __future__ import annotations

import numpy as np
import pytest

from agents.data.slicing import bar_slices, between, in_time_order, slice_ts, tick_slices
from agents.data.ticks import TickTable, pack_ticks
from schemas import Bar, TickBlock
from streams.errors import InvalidData

SECOND = 1_000_000_000


def bar(name: str, ts: int) -> Bar:
    return Bar(
        instrument_id=name,
        interval="1m",
        ts_open=ts - 60 * SECOND,
        ts_event=ts,
        session_date="2024-01-02",
        open=1.0,
        high=1.0,
        low=1.0,
        close=1.0,
        volume=0.0,
        adjustment="raw",
        source="test",
        synthetic=True,
    )


def ticks(name: str, seconds: list[float], prices: list[float] | None = None) -> list[TickBlock]:
    count = len(seconds)
    table = TickTable(
        instrument_id=name,
        source="test",
        synthetic=True,
        times=np.array([round(second * SECOND) for second in seconds], dtype=np.int64),
        sequence=np.arange(count, dtype=np.int64),
        price=np.array(prices or [100.0] * count),
        size=np.ones(count),
        side=np.zeros(count, dtype=np.uint8),
    )
    return pack_ticks(table)


def test_bars_that_close_together_are_one_slice() -> None:
    minute = 60 * SECOND
    given = [bar("B.X", 2 * minute), bar("B.X", minute), bar("A.X", 2 * minute), bar("A.X", 3 * minute)]
    found = [[(each.instrument_id, each.ts_event // minute) for each in rows] for rows in bar_slices(given)]
    assert found == [[("B.X", 1)], [("A.X", 2), ("B.X", 2)], [("A.X", 3)]]


def test_a_window_of_trades_is_one_slice_at_the_time_of_its_last_row() -> None:
    blocks = in_time_order([*ticks("B.X", [0.5, 1.2, 1.9]), *ticks("A.X", [0.1, 1.5])])
    slices = list(tick_slices(blocks, SECOND))
    assert [[(row.instrument_id, len(row)) for row in rows if isinstance(row, TickBlock)] for rows in slices] == [
        [("A.X", 1), ("B.X", 1)],
        [("A.X", 1), ("B.X", 2)],
    ]
    assert [slice_ts(rows) for rows in slices] == [SECOND // 2, 19 * SECOND // 10]


def test_a_bar_comes_in_the_slice_of_the_first_trade_beyond_its_end() -> None:
    blocks = ticks("A.X", [0.0, 4.0, 9.0, 12.0, 21.0], [10.0, 12.0, 9.0, 11.0, 8.0])
    found = [[row for row in rows if isinstance(row, Bar)] for rows in tick_slices(blocks, SECOND, "10s")]
    assert [len(bars) for bars in found] == [0, 0, 0, 1, 1]
    first, second = found[3][0], found[4][0]
    assert (first.open, first.high, first.low, first.close, first.volume) == (10.0, 12.0, 9.0, 9.0, 3.0)
    assert (first.ts_event, second.ts_event, second.close) == (10 * SECOND, 20 * SECOND, 11.0)
    assert first.source == "ticks:test"


def test_the_bars_of_a_slice_never_lie_beyond_its_trades() -> None:
    blocks = in_time_order([*ticks("A.X", [0.0, 65.0]), *ticks("B.X", [30.0, 190.0])])
    for rows in tick_slices(blocks, 120 * SECOND, "1m"):
        trades = max(row.ts_event for row in rows if isinstance(row, TickBlock))
        assert slice_ts(rows) == trades


def test_trades_are_cut_to_a_range_that_excludes_its_end_and_keep_their_sequence() -> None:
    kept = between(ticks("A.X", [0.0, 1.0, 2.0, 3.0]), SECOND, 3 * SECOND)
    assert [(block.seq0, len(block)) for block in kept] == [(1, 2)]
    assert between(kept, None, None) == kept
    assert between(kept, 5 * SECOND, None) == []


def test_blocks_out_of_time_order_are_refused() -> None:
    with pytest.raises(InvalidData, match="comes after the windows"):
        list(tick_slices([*ticks("A.X", [5.0]), *ticks("B.X", [1.0])], SECOND))
