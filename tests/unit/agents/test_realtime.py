"""What a live feed's callback may hand over."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from agents.data.realtime import rows_of
from schemas import Bar, Instrument, TickBlock
from streams.errors import InvalidData, UnknownSymbol
from tests.dataplane import START, bar, instrument

KNOWN = {"AAPL": instrument("AAPL"), "SIM": instrument("SIM", "SIM", lot_size=0.001)}
TRADE = {"symbol": "AAPL", "price": 10.5, "quantity": 3, "timestamp": "2012-01-03T15:00:00.000000001Z", "side": "sell"}
BAR = {
    "symbol": "SIM",
    "interval": "1m",
    "open": 1,
    "high": 3,
    "low": 0.5,
    "close": 2,
    "volume": 7,
    "timestamp": "2012-01-03T15:00:00Z",
}


def lookup(symbol: str) -> Instrument:
    for each in KNOWN.values():
        if symbol in (each.symbol, each.instrument_id):
            return each
    raise UnknownSymbol(f"no {symbol}")


def rows(data: Any) -> list[Bar | TickBlock]:
    return rows_of(data, lookup)


def test_a_trade_as_a_dict_becomes_a_block_of_one_row() -> None:
    (block,) = rows(TRADE)
    assert isinstance(block, TickBlock)
    assert (block.instrument_id, block.source, block.synthetic, len(block)) == ("AAPL.XNAS", "realtime", False, 1)
    assert (block.price[0], block.size[0], block.side[0]) == (10.5, 3, 2)
    assert block.ts_event == pd.Timestamp(TRADE["timestamp"]).value
    (sized,) = rows({name if name != "quantity" else "size": value for name, value in TRADE.items()})
    assert sized == block


def test_generated_data_is_labelled() -> None:
    assert [row.synthetic for row in rows([{**TRADE, "synthetic": True}, {**BAR, "synthetic": True}])] == [True, True]


def test_a_frame_of_trades_becomes_a_block_per_instrument() -> None:
    later = {**TRADE, "timestamp": "2012-01-03T15:00:01Z", "price": 11.0}
    other = {**TRADE, "symbol": "SIM.SIM"}
    blocks = rows(pd.DataFrame([TRADE, other, later]))
    assert [(block.instrument_id, len(block)) for block in blocks] == [("AAPL.XNAS", 2), ("SIM.SIM", 1)]
    assert blocks[0].price.tolist() == [10.5, 11.0]


def test_a_bar_as_a_dict_starts_at_its_timestamp() -> None:
    (made,) = rows(BAR)
    assert isinstance(made, Bar)
    opened = pd.Timestamp(BAR["timestamp"]).value
    assert (made.instrument_id, made.ts_open, made.ts_event) == ("SIM.SIM", opened, opened + 60 * 10**9)
    assert (made.open, made.high, made.low, made.close, made.volume) == (1, 3, 0.5, 2, 7)
    assert (made.session_date, made.adjustment, made.synthetic) == ("2012-01-03", "raw", False)


def test_messages_and_lists_of_anything_pass() -> None:
    given = bar("AAPL.XNAS", 0, 10.0)
    assert rows(given) == [given]
    mixed = rows([given, TRADE, [BAR]])
    assert [type(row).__name__ for row in mixed] == ["Bar", "TickBlock", "Bar"]
    assert rows([]) == []


@pytest.mark.parametrize(
    ("data", "error", "why"),
    [
        ("AAPL 10.5", InvalidData, "expected a Bar, TickBlock, dict, DataFrame or a list of these, got str"),
        (10.5, InvalidData, "got float"),
        (None, InvalidData, "got NoneType"),
        ([TRADE, 7], InvalidData, "got int"),
        ({**TRADE, "symbol": "XYZ"}, UnknownSymbol, "no XYZ"),
        (
            {"price": 1, "timestamp": START},
            InvalidData,
            "column symbol is missing, there are price, timestamp",
        ),
        ({**TRADE, "price": float("nan")}, InvalidData, "price"),
        ({**TRADE, "price": -1.0}, InvalidData, "price"),
        ({"symbol": "SIM", "close": 2.0}, InvalidData, "a bar needs interval, timestamp, open, high, low, volume"),
        ({**BAR, "high": 1.5}, InvalidData, "between low 0.5 and high 1.5"),
        ({**BAR, "open": float("nan")}, InvalidData, "open"),
        ({**BAR, "open": "one"}, InvalidData, "open"),
        ({**BAR, "volume": -1}, InvalidData, "volume"),
        ({**BAR, "interval": "1 fortnight"}, Exception, "fortnight"),
    ],
)
def test_what_is_wrong_is_named(data: Any, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        rows(data)
