"""Which parameters a sweep tries."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import yaml

from streams.errors import ConfigError

MAX_RUNS = 100_000
Grid = Mapping[str, Sequence[Any]]
"""Values by parameter."""
Changes = dict[str, Any]


def parse_grid(texts: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Return the values of 'name=1,2,3' or 'name=10:100:10' (first, last included, step) by name.

    Raises ConfigError for another form, a name given twice, or a value given twice.
    """
    grid: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        name, equals, listed = text.partition("=")
        if not equals or not name.strip() or not listed.strip():
            raise ConfigError(f"--grid {text!r}: expected NAME=VALUE,VALUE,... or NAME=FIRST:LAST:STEP")
        if name.strip() in grid:
            raise ConfigError(f"--grid {name.strip()!r} is given twice")
        values = _range(text, listed) if ":" in listed else tuple(_value(text, each) for each in listed.split(","))
        if len({repr(value) for value in values}) < len(values):
            raise ConfigError(f"--grid {text!r}: a value is given twice")
        grid[name.strip()] = values
    if not grid:
        raise ConfigError("a sweep needs at least one --grid NAME=VALUE,VALUE,...")
    return grid


def combinations(grid: Grid) -> list[Changes]:
    """Return every combination, the last parameter fastest; raise ConfigError where there are too many."""
    size = math.prod(len(values) for values in grid.values())
    if size > MAX_RUNS:
        raise ConfigError(f"the grid has {size:,} combinations, at most {MAX_RUNS:,} are run; take --random N of them")
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def sampled(grid: Grid, count: int, seed: int) -> list[Changes]:
    """Return count different combinations, drawn from a seed; all, in their order, where there are no more.

    Raises ConfigError where that is too many to run.
    """
    size = math.prod(len(values) for values in grid.values())
    if size <= count:
        return combinations(grid)
    if count > MAX_RUNS:
        raise ConfigError(f"--random {count:,}: at most {MAX_RUNS:,} combinations are run")
    # Drawn one by one and value by value, since neither a list of all nor their number need fit.
    rng, chosen = np.random.default_rng(seed), dict[tuple[int, ...], None]()
    while len(chosen) < count:
        chosen.setdefault(tuple(int(rng.integers(len(values))) for values in grid.values()))
    return [{name: values[at] for (name, values), at in zip(grid.items(), each, strict=True)} for each in chosen]


def _value(text: str, written: str) -> Any:
    try:
        value = yaml.safe_load(written)
    except yaml.YAMLError as error:
        raise ConfigError(f"--grid {text!r}: {written!r} is no value") from error
    if isinstance(value, str):
        # YAML takes 1e-3 for a text, since it has no point.
        with suppress(ValueError):
            value = float(value)
    if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and not math.isfinite(value)):
        raise ConfigError(f"--grid {text!r}: {written!r} is no number, text, true or false")
    return value


def _range(text: str, written: str) -> tuple[Any, ...]:
    parts = [_value(text, each) for each in written.split(":")]
    if len(parts) != 3 or any(isinstance(part, bool | str) for part in parts) or parts[2] <= 0 or parts[1] < parts[0]:
        raise ConfigError(f"--grid {text!r}: expected FIRST:LAST:STEP, numbers with FIRST <= LAST and STEP > 0")
    first, last, step = parts
    count = math.floor((last - first) / step + 1e-9) + 1
    if count > MAX_RUNS:
        raise ConfigError(f"--grid {text!r} has {count:,} values, at most {MAX_RUNS:,}")
    # Rounded, so that 0.1 : 0.3 : 0.1 gives 0.3 and not 0.30000000000000004.
    return tuple(v if isinstance(v, int) else round(v, 12) for v in (first + i * step for i in range(count)))
