"""Where bars come from: files, and the sample in the package."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

import pandas as pd

from agents.data.frames import read_table
from agents.data.providers import FrameProvider, Provider
from agents.data.reference import DEFAULT, Reference, References
from streams.errors import ConfigError

SAMPLE_NAME = "sample:bokeh-sampledata"
_SAMPLE_VENUES = {"AAPL": "XNAS", "FB": "XNAS", "GOOGL": "XNAS", "IBM": "XNYS", "MSFT": "XNAS"}


class CsvProvider(FrameProvider):
    """Serve the bars of a .csv or .csv.gz file."""

    def __init__(self, path: str | Path, symbol: str | None = None, *, reference: References = DEFAULT) -> None:
        """Read and check the file; its rows are labelled csv:<file name>."""
        super().__init__(read_table(path), name=f"csv:{Path(path).name}", symbol=symbol, reference=reference)


class ParquetProvider(FrameProvider):
    """Serve the bars of a .parquet file."""

    def __init__(self, path: str | Path, symbol: str | None = None, *, reference: References = DEFAULT) -> None:
        """Read and check the file; its rows are labelled parquet:<file name>."""
        super().__init__(read_table(path), name=f"parquet:{Path(path).name}", symbol=symbol, reference=reference)


class SampleProvider(FrameProvider):
    """Serve the sample in the package: real daily bars of five US shares, 2000-03-01 to 2013-03-01."""

    def __init__(self) -> None:
        references = {symbol: Reference(venue=venue) for symbol, venue in _SAMPLE_VENUES.items()}
        super().__init__(_sample(), name=SAMPLE_NAME, reference=references)


def open_providers(names: Sequence[str], reference: References = DEFAULT) -> list[Provider]:
    """Open providers in order: sample, or a path ending in .csv, .csv.gz or .parquet.

    SYMBOL=path names the symbol of a file without a symbol column. ConfigError where a name is none of these.
    """
    if not names:
        raise ConfigError("No data provider is configured, expected sample or a path such as prices.csv")
    return [_open(name, reference) for name in names]


@cache
def _sample() -> pd.DataFrame:
    with as_file(files("agents.data") / "sample.csv.gz") as path:
        return read_table(path)


@cache
def _sample_provider() -> SampleProvider:
    return SampleProvider()


def _open(name: str, reference: References) -> Provider:
    if name == "sample":
        return _sample_provider()
    # a path may have an equals sign of its own
    symbol, path = ("", name) if "=" not in name or Path(name).exists() else name.split("=", 1)
    if path.endswith((".csv", ".csv.gz")):
        return CsvProvider(path, symbol or None, reference=reference)
    if Path(path).suffix == ".parquet":
        return ParquetProvider(path, symbol or None, reference=reference)
    raise ConfigError(f"Unknown data provider {name!r}, expected sample or a path ending in .csv, .csv.gz or .parquet")
