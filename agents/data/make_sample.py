"""Make sample.csv.gz from the PyPI package bokeh-sampledata: python -m agents.data.make_sample.

The package (BSD-3-Clause) carries an extract of Quandl WIKI Prices, which its publisher put into the public domain:
unadjusted open, high, low, close and volume, and the close adjusted for splits and dividends, up to those after 2013.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from streams.errors import ConfigError, InvalidData

PACKAGE_VERSION = "2026.1"
"""Up to 2013 releases carried an export of another vendor: the same dates, other values."""
SYMBOLS = {"AAPL": "AAPL", "FB": "FB", "GOOG": "GOOGL", "IBM": "IBM", "MSFT": "MSFT"}
"""Symbols of the package, and ours: the share that traded as GOOG until 2014-04-02 is GOOGL today."""
COLUMNS = ("symbol", "date", "open", "high", "low", "close", "volume", "adj_close")
TARGET = Path(__file__).with_name("sample.csv.gz")


def sample_csv() -> str:
    """Return the sample as CSV, values as in the package; InvalidData where open or close leaves low..high."""
    found = metadata.version("bokeh-sampledata")
    if found != PACKAGE_VERSION:
        raise ConfigError(f"bokeh-sampledata is {found}, expected {PACKAGE_VERSION}")
    stocks = import_module("bokeh_sampledata.stocks")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for theirs, ours in SYMBOLS.items():
        writer.writerows((ours, *row) for row in _rows(getattr(stocks, theirs)))
    return out.getvalue()


def _rows(columns: dict[str, list[Any]]) -> Iterator[tuple[Any, ...]]:
    for row in zip(*(columns[name] for name in COLUMNS[1:]), strict=True):
        date, opened, high, low, closed = row[:5]
        if not low <= min(opened, closed) <= max(opened, closed) <= high:
            raise InvalidData(f"{date}: open {opened} or close {closed} lies outside {low}..{high}")
        yield row


def main() -> None:
    """Write the sample; the same bytes each time (no name and no time in the gzip header)."""
    TARGET.write_bytes(gzip.compress(sample_csv().encode(), compresslevel=9, mtime=0))


if __name__ == "__main__":
    main()
