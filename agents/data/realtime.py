"""What a live feed's callback hands over, as rows for the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from pydantic import ValidationError

from agents.data.intervals import interval_ns
from agents.data.reference import Reference
from agents.data.timestamps import read_stamps
from agents.data.trades import trades
from schemas import Bar, Instrument, TickBlock
from streams.errors import InvalidData

Row = Bar | TickBlock
Lookup = Callable[[str], Instrument]
"""Returns the instrument of a bare symbol or SYMBOL.VENUE, or raises UnknownSymbol."""
_BAR_FIELDS = ("open", "high", "low", "close", "volume")


def rows_of(data: Any, lookup: Lookup, source: str = "realtime") -> list[Row]:
    """Return the rows of a Bar, TickBlock, trade or bar as a dict, DataFrame of trades, or a sequence of these.

    A trade has symbol, price, quantity (or size) and timestamp, and may have side or buyer_maker. A bar has symbol,
    interval, open, high, low, close, volume and timestamp (its start). A dict with synthetic true is generated data.
    Raises InvalidData that names what is wrong.
    """
    if isinstance(data, Bar | TickBlock):
        return [data]
    if isinstance(data, pd.DataFrame):
        return _trades(data, lookup, source)
    if isinstance(data, Mapping):
        return [_bar(data, lookup, source)] if "close" in data else _trade(data, lookup, source)
    if isinstance(data, Sequence) and not isinstance(data, str):
        return [row for each in data for row in rows_of(each, lookup, source)]
    raise InvalidData(f"expected a Bar, TickBlock, dict, DataFrame or a list of these, got {type(data).__name__}")


def _trade(data: Mapping[str, Any], lookup: Lookup, source: str) -> list[Row]:
    return _trades(pd.DataFrame([data]), lookup, source, synthetic=bool(data.get("synthetic", False)))


def _trades(frame: pd.DataFrame, lookup: Lookup, source: str, *, synthetic: bool = False) -> list[Row]:
    if "symbol" not in frame.columns:
        raise InvalidData(f"{source}: column symbol is missing, there are {', '.join(map(str, frame.columns))}")
    rows: list[Row] = []
    for symbol, part in frame.groupby("symbol", sort=True):
        instrument = lookup(str(symbol))
        reference = Reference(
            venue=instrument.venue,
            currency=instrument.currency,
            tick_size=instrument.tick_size,
            lot_size=instrument.lot_size,
            calendar=instrument.calendar,
        )
        part = part.drop(columns="symbol").reset_index(drop=True)
        rows += trades(part, instrument.symbol, reference, source=source, synthetic=synthetic)
    return rows


def _bar(data: Mapping[str, Any], lookup: Lookup, source: str) -> Bar:
    missing = [name for name in ("symbol", "interval", "timestamp", *_BAR_FIELDS) if name not in data]
    if missing:
        raise InvalidData(f"{source}: a bar needs {', '.join(missing)}")
    opened = int(read_stamps(pd.Series([data["timestamp"]], name="timestamp"), source).ns[0])
    closed = opened + interval_ns(str(data["interval"]))
    try:
        return Bar(
            instrument_id=lookup(str(data["symbol"])).instrument_id,
            interval=str(data["interval"]),
            ts_open=opened,
            ts_event=closed,
            session_date=str(pd.Timestamp(opened, unit="ns").date()),
            adjustment="raw",
            source=source,
            synthetic=bool(data.get("synthetic", False)),
            **{name: data[name] for name in _BAR_FIELDS},
        )
    except ValidationError as error:
        why = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'bar'}: {each['msg']}" for each in error.errors())
        raise InvalidData(f"{source}: bar of {data['symbol']}: {why}") from None
