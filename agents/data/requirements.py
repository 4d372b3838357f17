"""What a strategy requires of its data, by the names that strategy files use."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from agents.parameters import nearest
from schemas import BarBlock
from streams.errors import ConfigError, MissingData

REQUIRED_DATA = {
    "price_data": ("close", "price"),
    "volume_data": ("volume", "size"),
    "volatility_data": ("close", "price"),
}
"""The columns of which one must be there, of bars or of trades; volatility is computed from prices."""
_COLUMNS = ("open", "high", "low", "close", "volume")


def check_names(required: Iterable[str]) -> None:
    """Raise ConfigError for a requirement that is not known."""
    for name in required:
        if name not in REQUIRED_DATA:
            hint = nearest(str(name), REQUIRED_DATA)
            raise ConfigError(
                f"Unknown required_data {name!r}, did you mean {hint!r}? Expected some of {sorted(REQUIRED_DATA)}"
            )


def check_required(required: Iterable[str], columns: Collection[str]) -> None:
    """Raise MissingData that names each requirement for which the data has no column."""
    names = tuple(required)
    check_names(names)
    missing = [name for name in names if not set(REQUIRED_DATA[name]) & set(columns)]
    if missing:
        needs = "; ".join(f"{name} needs {' or '.join(REQUIRED_DATA[name])}" for name in missing)
        raise MissingData(f"required_data: {needs}; the data has {', '.join(sorted(columns)) or 'nothing'}")


def columns_of(blocks: Sequence[BarBlock]) -> set[str]:
    """Return the columns in which every instrument has at least one value other than 0."""
    names = {block.instrument_id for block in blocks}
    filled = {(block.instrument_id, each) for block in blocks for each in _COLUMNS if np.any(getattr(block, each))}
    return {each for each in _COLUMNS if names and all((name, each) in filled for name in names)}
