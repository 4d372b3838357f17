"""Blocks refuse a bad row by its number, whatever the column."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from schemas import Bar, BarBlock, TickBlock
from tests.unit.schemas.example_messages import example, example_values

TICKS: dict[str, Any] = {
    **example_values(TickBlock),
    "dt_ns": [0, 0, 5],
    "price": [10, 11, 12],
    "size": [0, 1, 2],
    "side": [0, 1, 2],
}
BARS: dict[str, Any] = {
    **example_values(BarBlock),
    "open_dt_ns": [0, 10],
    "dt_ns": [9, 19],
    "session_day": [15000, 15001],
    "open": [10, 11],
    "high": [12, 13],
    "low": [9, 10],
    "close": [11, 12],
    "volume": [0, 100],
}
NAN = float("nan")


@pytest.mark.parametrize("column", ["dt_ns", "price", "size", "side"])
@pytest.mark.parametrize("value", [NAN, float("inf"), -1, 0.5])
def test_a_bad_tick_is_refused(column: str, value: float) -> None:
    if value == 0.5 and column in ("price", "size"):
        return
    with pytest.raises(ValidationError):
        TickBlock(**{**TICKS, column: [*TICKS[column][:2], value]})


@pytest.mark.parametrize("column", [name for name in BARS if isinstance(BARS[name], list)])
@pytest.mark.parametrize("value", [NAN, float("inf"), -1])
def test_a_bad_bar_of_a_block_is_refused(column: str, value: float) -> None:
    with pytest.raises(ValidationError):
        BarBlock(**{**BARS, column: [BARS[column][0], value]})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dt_ns": [5, 0, 5]}, "row 1: time goes backwards"),
        ({"dt_ns": [0, 0.5, 5]}, "row 1: time offsets are whole nanoseconds"),
        ({"dt_ns": [0, 0, 2.0**53]}, "row 2: time offsets lie in"),
        ({"price": [10, 0, 12]}, "row 1: price must be positive"),
        ({"side": [0, 3, 2]}, "row 1: side is 0 unknown"),
        ({"side": [0, 64, 2]}, "small integers lie in 0..63"),
        ({"side": [0, 300, 2]}, "small integers lie in 0..63"),
        ({"side": [0, 1.5, 2]}, "whole"),
        ({"side": [0, NAN, 2]}, "whole"),
        ({"price": [10, 11]}, "one common length"),
        ({"price": [[10, 11, 12]]}, "a column has one dimension"),
        ({name: [] for name in ("dt_ns", "price", "size", "side")}, "at least 1"),
        ({"base_ts": 2**63 - 3}, "beyond 2262"),
    ],
)
def test_the_reason_names_the_row(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        TickBlock(**{**TICKS, **changes})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"low": [9, 11.5]}, "row 1: open and close lie at or above low"),
        ({"high": [10.5, 13]}, "row 0: open and close lie at or below high"),
        ({"open_dt_ns": [0, 20]}, "row 1: ts_open is after ts_event"),
        ({"session_day": [15000, 15000.5]}, "row 1: session_day"),
        ({"session_day": [15000, 1e9]}, "row 1: session_day"),
    ],
)
def test_a_bar_block_names_the_row(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        BarBlock(**{**BARS, **changes})


def test_a_column_cannot_be_written_to() -> None:
    block = TickBlock(**{**TICKS, "price": np.array([10.0, 11.0, 12.0])})
    with pytest.raises(ValueError, match="read-only"):
        block.price[0] = 1
    assert block.price.dtype == np.float64
    assert block.side.dtype == np.uint8


def test_equal_columns_make_equal_blocks() -> None:
    assert TickBlock(**TICKS) == TickBlock(**{**TICKS, "price": np.array([10.0, 11.0, 12.0])})
    assert TickBlock(**TICKS) != TickBlock(**{**TICKS, "price": [10.0, 11.0, 12.5]})
    assert TickBlock(**TICKS) != BarBlock(**BARS)


def test_bars_go_into_a_block_and_come_out_as_they_were() -> None:
    bars = list(BarBlock(**BARS).bars())
    assert [bar.session_date for bar in bars] == ["2011-01-26", "2011-01-27"]
    assert [bar.ts_event - bar.ts_open for bar in bars] == [9, 9]
    assert BarBlock.from_bars(bars) == BarBlock(**BARS)
    with pytest.raises(ValueError, match="one instrument_id"):
        BarBlock.from_bars([bars[0], bars[1].model_copy(update={"instrument_id": "B.X"})])


def test_times_are_whole_nanoseconds() -> None:
    base = 1_700_000_000_123_456_789
    block = TickBlock(**{**TICKS, "base_ts": base})
    assert block.times().tolist() == [base, base, base + 5]
    assert block.ts_event == base + 5
    assert len(block) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"high": 0.4},
        {"low": 0.6},
        {"ts_open": 4, "ts_event": 3},
        {"session_date": "2024-1-2"},
        {"session_date": "2024-13-01"},
        {"session_date": "2023-02-29"},
    ],
)
def test_an_impossible_bar_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Bar(**{**example(Bar).model_dump(), **changes})
