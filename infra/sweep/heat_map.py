"""A sweep's metric over two parameters, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.sweep.table import LOWER_IS_BETTER, Sweep
from schemas import BacktestCompleted
from schemas.columns import Float64
from streams.errors import ConfigError

FORMATS = (".png", ".svg")


def write_heat_map(sweep: Sweep, path: Path) -> None:
    """Draw the metric over the two parameters that have several values; a trial that failed stays empty.

    Raises ConfigError where not two parameters vary, or for another format than FORMATS.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(f"--heat-map {path}: expected a file that ends in {' or '.join(FORMATS)}")
    (first, rows), (second, columns) = _axes(sweep)
    values = _values(sweep, (first, rows), (second, columns))
    # Here, because only this needs it and it is slow to import.
    from matplotlib.figure import Figure

    source, kind, _ = sweep.data()
    figure = Figure(figsize=(1.6 + 0.9 * max(len(columns), 4), 1.4 + 0.55 * max(len(rows), 4)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, cmap="viridis_r" if sweep.metric in LOWER_IS_BETTER else "viridis", aspect="auto")
    axes.set_xticks(range(len(columns)), [str(value) for value in columns])
    axes.set_yticks(range(len(rows)), [str(value) for value in rows])
    axes.set_xlabel(second)
    axes.set_ylabel(first)
    axes.set_title(f"{sweep.metric} of {len(sweep.results)} backtests\n{source} ({kind})", fontsize=10)
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            dark = (value < middle) != (sweep.metric in LOWER_IS_BETTER)
            axes.text(column, row, f"{value:.3g}", ha="center", va="center", color="white" if dark else "black")
    figure.colorbar(image, label=sweep.metric)
    path.parent.mkdir(parents=True, exist_ok=True)
    # No date in the file: the same sweep gives the same picture.
    figure.savefig(path, dpi=150, metadata={"Software": None} if path.suffix == ".png" else {"Date": None})


Axis = tuple[str, list[Any]]


def _axes(sweep: Sweep) -> tuple[Axis, Axis]:
    varied = {name: _ordered({change[name] for change in sweep.changes}) for name in sweep.changes[0]}
    several = [(name, values) for name, values in varied.items() if len(values) > 1]
    if len(several) != 2:
        names = ", ".join(name for name, _ in several) or "none"
        raise ConfigError(f"a heat map is over two parameters with several values each, got {names}")
    return several[0], several[1]


def _ordered(values: set[Any]) -> list[Any]:
    numbers = all(isinstance(value, int | float) for value in values)
    return sorted(values) if numbers else sorted(values, key=str)


def _values(sweep: Sweep, first: Axis, second: Axis) -> Float64:
    """Return the metric, shape (values of the first, values of the second), NaN where there is none."""
    grid = np.full((len(first[1]), len(second[1])), np.nan)
    for changes, result in zip(sweep.changes, sweep.results, strict=True):
        value = result.metrics.get(sweep.metric) if isinstance(result, BacktestCompleted) else None
        if value is not None:
            grid[first[1].index(changes[first[0]]), second[1].index(changes[second[0]])] = value
    if not np.isfinite(grid).any():
        raise ConfigError(f"no trial has a {sweep.metric}")
    return grid
