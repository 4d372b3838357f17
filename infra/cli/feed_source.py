"""What `finagent feed` publishes: bars of a provider or file, trades of a file, or generated trades."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from agents.data.feed import Row
from agents.data.frames import read_table, with_plain_names
from agents.data.providers import FrameProvider, Provider
from agents.data.reference import Reference, unknown_symbol
from agents.data.slicing import bar_slices, between, in_time_order, tick_slices
from agents.data.sources import open_providers
from agents.data.synthetic import Walk, synthetic_ticks
from agents.data.trades import trades
from infra.cli.feed_times import date_of, end_ns, start_ns
from schemas import Instrument, TickBlock
from streams.errors import ConfigError, MissingData

SYNTHETIC = "synthetic:"
_SIZES = {"quantity", "size", "amount"}
_FIRST_SYNTHETIC = "2024-01-02T14:30:00"


@dataclass(frozen=True)
class Wanted:
    """What was asked for."""

    symbols: tuple[str, ...]
    """Empty: all there are."""
    start: str
    """ISO date or time; empty: the first row."""
    end: str
    """ISO date, which is included, or time, which is not; empty: the last row."""
    interval: str
    """Of bars; empty: what the source has."""
    window_ns: int
    """Length of a slice of trades."""
    bars: str
    """Interval of the bars that are made of trades; empty: none."""
    count: int
    """Generated trades of each symbol."""
    reference: Reference
    """What a file does not say about its instruments."""


@dataclass(frozen=True)
class Source:
    """Slices in time order, and what is known about them."""

    name: str
    synthetic: bool
    instruments: tuple[Instrument, ...]
    rows: int
    """Rows of the source, in all slices."""
    slices: Iterator[Sequence[Row]]


def open_source(name: str, wanted: Wanted) -> Source:
    """Return what a provider's name, a file or synthetic:SEED has of what is wanted."""
    if name.startswith(SYNTHETIC):
        return _generated(name.removeprefix(SYNTHETIC), wanted)
    symbol, path = _file(name)
    if path is None:
        return _bars(open_providers([name])[0], wanted)
    frame = with_plain_names(read_table(path), path.name)
    symbols = (symbol,) if symbol else wanted.symbols
    if "price" in frame.columns and _SIZES & set(frame.columns):
        return _trades(frame, f"trades:{path.name}", _symbols(frame, symbols, path), wanted)
    only = None if "symbol" in frame.columns else _symbols(frame, symbols, path)[0]
    kind = "parquet" if path.suffix == ".parquet" else "csv"
    provider = FrameProvider(frame, name=f"{kind}:{path.name}", symbol=only, reference=wanted.reference)
    return _bars(provider, wanted)


def _file(name: str) -> tuple[str, Path | None]:
    symbol, path = ("", name) if "=" not in name or Path(name).exists() else name.split("=", 1)
    return symbol, Path(path) if path.endswith((".csv", ".csv.gz", ".parquet")) else None


def _symbols(frame: pd.DataFrame, asked: tuple[str, ...], path: Path) -> tuple[str, ...]:
    if "symbol" in frame.columns:
        return asked or tuple(dict.fromkeys(frame["symbol"].astype(str)))
    if len(asked) != 1:
        got = ", ".join(asked) or "none"
        raise ConfigError(f"{path.name} has no symbol column: name its one symbol with --symbols, got {got}")
    return asked


def _bars(provider: Provider, wanted: Wanted) -> Source:
    known = provider.instruments()
    found = [_instrument(known, provider.name, symbol) for symbol in wanted.symbols or known]
    start, end = date_of("start", wanted.start), date_of("end", wanted.end)
    blocks = [
        block
        for each in found
        for block in provider.bars(each.symbol, _interval(provider, each.symbol, wanted), start, end)
    ]
    rows = [bar for block in blocks for bar in block.bars()]
    return Source(provider.name, provider.synthetic, tuple(found), len(rows), bar_slices(rows))


def _interval(provider: Provider, symbol: str, wanted: Wanted) -> str:
    return wanted.interval or (provider.interval(symbol) if isinstance(provider, FrameProvider) else "1d")


def _instrument(known: dict[str, Instrument], source: str, symbol: str) -> Instrument:
    for each in known.values():
        if symbol in (each.symbol, each.instrument_id):
            return each
    raise unknown_symbol(symbol, source, known)


def _trades(frame: pd.DataFrame, label: str, symbols: tuple[str, ...], wanted: Wanted) -> Source:
    every = [block for symbol in symbols for block in trades(frame, symbol, wanted.reference, source=label)]
    blocks = between(every, start_ns(wanted.start), end_ns(wanted.end))
    if not blocks:
        days = [dt.datetime.fromtimestamp(ns / 1e9, dt.UTC).isoformat() for ns in _span(every)]
        raise MissingData(f"{label} has trades from {days[0]} to {days[1]}, none from {wanted.start} to {wanted.end}")
    return _ticks(blocks, [wanted.reference.instrument(symbol) for symbol in symbols], wanted)


def _span(blocks: Sequence[TickBlock]) -> tuple[int, int]:
    return min(block.base_ts for block in blocks), max(block.ts_event for block in blocks)


def _generated(seed: str, wanted: Wanted) -> Source:
    if not seed.isdigit():
        raise ConfigError(f"synthetic:{seed} needs a whole number as seed, as in synthetic:7")
    symbols = wanted.symbols or ("SYN",)
    walk = Walk(reference=wanted.reference)
    begin = start_ns(wanted.start or _FIRST_SYNTHETIC) or 0
    blocks = synthetic_ticks(symbols, wanted.count, seed=int(seed), start_ns=begin, walk=walk)
    kept = between(blocks, None, end_ns(wanted.end))
    if not kept:
        raise MissingData(f"synthetic:{seed} begins at {wanted.start or _FIRST_SYNTHETIC}, after {wanted.end}")
    return _ticks(kept, [walk.reference.instrument(symbol) for symbol in symbols], wanted)


def _ticks(blocks: Sequence[TickBlock], instruments: Sequence[Instrument], wanted: Wanted) -> Source:
    ordered = in_time_order(blocks)
    calendars = {each.instrument_id: each.calendar for each in instruments}
    slices = tick_slices(ordered, wanted.window_ns, wanted.bars or None, calendars)
    return Source(ordered[0].source, ordered[0].synthetic, tuple(instruments), sum(map(len, ordered)), slices)
