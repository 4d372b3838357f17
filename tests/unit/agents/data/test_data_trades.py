from typing import Any

import numpy as np
import pandas as pd
import pytest

from agents.data.reference import Reference
from agents.data.trades import trades
from streams.errors import InvalidData, UnknownSymbol

SECOND = 10**9
T0 = 1_610_064_000 * SECOND  # 2021-01-08T00:00:00Z


def frame(**columns: Any) -> pd.DataFrame:
    basic = {
        "timestamp": [1610064000, 1610064001, 1610064001],
        "price": [10.0, 11.0, 12.0],
        "quantity": [1.0, 2.0, 0.5],
    }
    return pd.DataFrame({**basic, **columns})


def test_trades_become_a_block() -> None:
    (block,) = trades(frame(buyer_maker=[True, False, True]), "BTC/USDT", Reference(venue="BINANCE"), "archive")
    assert (block.instrument_id, block.source, block.synthetic) == ("BTC/USDT.BINANCE", "archive", False)
    assert block.times().tolist() == [T0, T0 + SECOND, T0 + SECOND]
    assert block.price.tolist() == [10.0, 11.0, 12.0]
    assert block.size.tolist() == [1.0, 2.0, 0.5]
    assert block.side.tolist() == [2, 1, 2]  # the buyer was the maker, so the aggressor sold
    assert block.seq0 == 0


@pytest.mark.parametrize(
    ("columns", "sides"),
    [
        ({"buyer_maker": ["True", "False", "true"]}, [2, 1, 2]),
        ({"buyer_maker": [1, 0, 1]}, [2, 1, 2]),
        ({"side": ["buy", "SELL", "unknown"]}, [1, 2, 0]),
        ({}, [0, 0, 0]),
    ],
)
def test_sides(columns: dict[str, Any], sides: list[int]) -> None:
    (block,) = trades(frame(**columns), "X")
    assert block.side.tolist() == sides


@pytest.mark.parametrize(
    "times",
    [
        [T0, T0 + 1, T0 + SECOND],
        pd.to_datetime([T0, T0 + 1, T0 + SECOND], utc=True),
        ["2021-01-08T00:00:00Z", "2021-01-08T00:00:00.000000001Z", "2021-01-08T01:00:01+01:00"],
    ],
    ids=["ns", "datetimes", "text"],
)
def test_times_are_exact_to_the_nanosecond(times: Any) -> None:
    (block,) = trades(frame(timestamp=times), "X")
    assert block.times().tolist() == [T0, T0 + 1, T0 + SECOND]


def test_other_names_for_the_size_and_a_symbol_column() -> None:
    table = frame(symbol=["A", "B", "A"]).rename(columns={"quantity": "Amount"})
    (block,) = trades(table, "A")
    assert block.size.tolist() == [1.0, 0.5]
    with pytest.raises(UnknownSymbol, match=r"'C' in trades:frame, expected one of \(A, B\)"):
        trades(table, "C")


def test_blocks_hold_a_thousand_rows_and_at_most_104_days() -> None:
    n = 2001
    table = pd.DataFrame({"timestamp": T0 + np.arange(n), "price": np.ones(n), "size": np.ones(n)})
    assert [(b.seq0, len(b)) for b in trades(table, "X")] == [(0, 1000), (1000, 1000), (2000, 1)]
    far = frame(timestamp=["2021-01-01", "2021-01-02", "2021-06-01"])
    assert [(b.seq0, len(b)) for b in trades(far, "X")] == [(0, 2), (2, 1)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"timestamp": [1610064001, 1610064000, 1610064002]}, "row 1 .*before the row above"),
        ({"price": [1.0, 0.0, 1.0]}, "row 1 .*price above 0"),
        ({"price": [1.0, 1.0, np.nan]}, "row 2 .*finite"),
        ({"quantity": [1.0, -1.0, 1.0]}, "row 1 .*size of 0 or more"),
        ({"trade_id": [7, 8, 7]}, "row 2 .*trade_id is 7, which an earlier row has"),
        ({"side": ["buy", "hold", "sell"]}, "row 1 .*side is hold, expected one of"),
        ({"side": ["buy", None, "sell"]}, "row 1 .*expected one of"),
    ],
)
def test_wrong_rows_are_refused_by_number(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        trades(frame(**columns), "X")


def test_rows_are_numbered_as_in_the_table() -> None:
    with pytest.raises(InvalidData, match="row 2 "):
        trades(frame(symbol=["B", "A", "A"], price=[1.0, 1.0, -1.0]), "A")
