"""Tables as users have them: read from files, columns found by name, numbers checked row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from streams.errors import ConfigError, InvalidData

Float64 = NDArray[np.float64]
Table = str | Path | pd.DataFrame
"""A path ending in .csv, .csv.gz or .parquet, or a frame."""
_TEXT = dict.fromkeys(("symbol", "Symbol", "SYMBOL"), str)
_MISSING = ["", "nan", "NaN"]


def read_table(table: Table) -> pd.DataFrame:
    """Read a table; ConfigError where the path or its kind is wrong, InvalidData where its content is no table."""
    if isinstance(table, pd.DataFrame):
        return table
    path = Path(table)
    if not path.is_file():
        raise ConfigError(f"No file {str(table)!r}")
    try:
        return _read(path)
    except (ConfigError, ImportError):
        raise
    except (ValueError, OSError, EOFError) as error:
        raise InvalidData(f"{path.name} is not a readable table: {error}") from error


def _read(path: Path) -> pd.DataFrame:
    if path.name.endswith((".csv", ".csv.gz")):
        # NA is a ticker, not a gap
        kept: Any = {"keep_default_na": False, "na_values": _MISSING, **_exact_floats()}
        frame: pd.DataFrame = pd.read_csv(path, dtype=_TEXT, **kept)
        return frame
    if path.suffix != ".parquet":
        raise ConfigError(f"Unknown kind of file {path.name!r}, expected .csv, .csv.gz or .parquet")
    try:
        return pd.read_parquet(path, engine="pyarrow")
    except ImportError as error:
        raise ConfigError("Parquet files need pyarrow: install finagent-orchestration[data]") from error


def _exact_floats() -> dict[str, Any]:
    # before 3.1 the default parser may be off by one unit in the last place; from 3.1 on the option is deprecated
    major, minor = map(int, pd.__version__.split(".")[:2])
    return {"float_precision": "round_trip"} if (major, minor) < (3, 1) else {}


def with_plain_names(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return the frame with lower-case column names and rows numbered from 0; InvalidData where it is empty."""
    names = [str(name).strip().lower().replace(" ", "_") for name in frame.columns]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InvalidData(f"{source}: columns {doubled} occur more than once")
    if frame.empty:
        raise InvalidData(f"{source} has no rows")
    return frame.set_axis(names, axis="columns").reset_index(drop=True)


def pick(frame: pd.DataFrame, names: tuple[str, ...], source: str) -> pd.Series:
    """Return the first column that has one of the names; InvalidData where none does."""
    for name in names:
        if name in frame.columns:
            return frame[name]
    raise InvalidData(f"{source}: no column {' or '.join(names)}, its columns are {tuple(frame.columns)}")


def numbers(column: pd.Series, source: str) -> Float64:
    """Return a column as finite float64, shape (n,); InvalidData names the first row that is not."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    check(np.isfinite(values), column, source, "expected a finite number")
    return values


def prices(column: pd.Series, source: str) -> Float64:
    """Return a column of positive numbers, shape (n,)."""
    values = numbers(column, source)
    check(values > 0, column, source, "expected a price above 0")
    return values


def check(good: NDArray[np.bool_], column: pd.Series, source: str, expected: str) -> None:
    """Raise InvalidData that names the first row where the condition fails, with the column's value there."""
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        found = f"row {column.index[row]} (from 0): {column.name} is {column.iloc[row]}"
        raise InvalidData(f"{source}: {found}, {expected}")
