"""Trades from a user's table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agents.data.frames import Table, check, numbers, pick, prices, read_table, with_plain_names
from agents.data.reference import DEFAULT, Reference, unknown_symbol
from agents.data.ticks import TickTable, pack_ticks
from agents.data.timestamps import read_stamps
from schemas.market import TickBlock

_TIME_COLUMNS = ("timestamp", "datetime", "time", "ts_event")
_SIZE_COLUMNS = ("quantity", "size", "amount")
_SIDES = {"buy": 1, "b": 1, "sell": 2, "s": 2, "unknown": 0}
_MAKERS = {"true": 2, "1": 2, "false": 1, "0": 1}
"""The buyer was the maker, so the aggressor sold."""


def trades(
    table: Table, symbol: str, reference: Reference = DEFAULT, source: str | None = None, synthetic: bool = False
) -> list[TickBlock]:
    """Return a table's trades of one symbol in blocks of at most 1,000 rows, in the table's order.

    Columns: timestamp; price; quantity, size or amount; optionally symbol, trade_id, and buyer_maker or side.
    Source defaults to trades:<file name>. InvalidData names the row that is wrong.
    """
    label = source or f"trades:{Path(table).name if not isinstance(table, pd.DataFrame) else 'frame'}"
    frame = _rows_of(with_plain_names(read_table(table), label), symbol, label)
    times = pick(frame, _TIME_COLUMNS, label)
    ns = read_stamps(times, label).ns
    check(np.diff(ns, prepend=ns[0]) >= 0, times, label, "which is before the row above")
    _check_ids(frame, label)
    sizes = pick(frame, _SIZE_COLUMNS, label)
    size = numbers(sizes, label)
    check(size >= 0, sizes, label, "expected a size of 0 or more")
    return pack_ticks(
        TickTable(
            instrument_id=reference.instrument(symbol).instrument_id,
            source=label,
            synthetic=synthetic,
            times=ns,
            sequence=np.arange(len(ns), dtype=np.int64),
            price=prices(pick(frame, ("price",), label), label),
            size=size,
            side=_sides(frame, label),
        )
    )


def _rows_of(frame: pd.DataFrame, symbol: str, source: str) -> pd.DataFrame:
    if "symbol" not in frame.columns:
        return frame
    chosen = frame[frame["symbol"].astype(str) == symbol]
    if chosen.empty:
        raise unknown_symbol(symbol, source, set(frame["symbol"].astype(str)))
    return chosen


def _check_ids(frame: pd.DataFrame, source: str) -> None:
    if "trade_id" in frame.columns:
        ids = frame["trade_id"]
        check(~ids.duplicated().to_numpy(), ids, source, "which an earlier row has")


def _sides(frame: pd.DataFrame, source: str) -> NDArray[np.uint8]:
    for name, codes in (("buyer_maker", _MAKERS), ("side", _SIDES)):
        if name in frame.columns:
            column = frame[name]
            sides = column.astype(str).str.lower().map(codes)
            check(sides.notna().to_numpy(), column, source, f"expected one of {tuple(codes)}")
            return np.asarray(sides, dtype=np.uint8)
    return np.zeros(len(frame), dtype=np.uint8)
