"""A sweep's metric over two parameters, as a picture or a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.sweep.table import LOWER_IS_BETTER, Sweep
from schemas import BacktestCompleted
from schemas.columns import Float64
from streams.errors import ConfigError

FORMATS = (".png", ".svg", ".html")
LABELLED = 30
"""Values of a parameter up to which each cell says its figure."""
_COLOURS = "viridis"


@dataclass(frozen=True)
class HeatMap:
    """The metric by two parameters."""

    metric: str
    down: str
    rows: Sequence[Any]
    across: str
    columns: Sequence[Any]
    values: Float64
    """Shape (rows, columns), NaN where there is none."""

    @property
    def labelled(self) -> bool:
        """Tell whether there is room for a figure in each cell."""
        return max(len(self.rows), len(self.columns)) <= LABELLED


def check_heat_map(changes: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Raise ConfigError where not two parameters vary, or for another format than FORMATS."""
    if path.suffix not in FORMATS:
        raise ConfigError(f"--heat-map {path}: expected a file that ends in {', '.join(FORMATS)}")
    _axes(changes)


def write_heat_map(sweep: Sweep, path: Path) -> None:
    """Draw the metric over the two parameters that have several values; a trial that failed stays empty.

    Raises ConfigError where not two parameters vary, no trial has the metric, or for another format than FORMATS.
    """
    check_heat_map(sweep.changes, path)
    found = heat_map(sweep)
    if path.suffix == ".html":
        path.write_text(_page(sweep, found))
    else:
        _picture(sweep, found, path)


def heat_map(sweep: Sweep) -> HeatMap:
    """Return the metric by parameters; raise ConfigError where not two vary or no trial has it."""
    (down, rows), (across, columns) = _axes(sweep.changes)
    grid = np.full((len(rows), len(columns)), np.nan)
    for changes, result in zip(sweep.changes, sweep.results, strict=True):
        value = result.metrics.get(sweep.metric) if isinstance(result, BacktestCompleted) else None
        if value is not None:
            grid[rows.index(changes[down]), columns.index(changes[across])] = value
    if not np.isfinite(grid).any():
        raise ConfigError(f"no trial has a {sweep.metric}")
    return HeatMap(sweep.metric, down, rows, across, columns, grid)


def _picture(sweep: Sweep, found: HeatMap, path: Path) -> None:
    # Here, because only this needs it and it is slow to import.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    lower, values = sweep.metric in LOWER_IS_BETTER, found.values
    wide, high = (min(max(len(each), 4), LABELLED) for each in (found.columns, found.rows))
    # Fixed ids and no date in the file: the same sweep gives the same picture.
    with mpl.rc_context({"svg.hashsalt": "finagent"}):
        figure = Figure(figsize=(1.6 + 0.9 * wide, 1.4 + 0.55 * high), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(values, cmap=_COLOURS + ("_r" if lower else ""), aspect="auto")
        axes.set_xticks(*_ticks(found.columns))
        axes.set_yticks(*_ticks(found.rows))
        axes.set_xlabel(found.across)
        axes.set_ylabel(found.down)
        source, kind, _ = sweep.data()
        axes.set_title(f"{sweep.metric} of {len(sweep.results)} backtests\n{source} ({kind})", fontsize=10)
        middle = (np.nanmin(values) + np.nanmax(values)) / 2
        for (row, column), value in np.ndenumerate(values) if found.labelled else ():
            if np.isfinite(value):
                dark = (value < middle) != lower
                axes.text(column, row, f"{value:.3g}", ha="center", va="center", color="white" if dark else "black")
        figure.colorbar(image, label=sweep.metric)
        figure.savefig(path, dpi=150, metadata={"Software": None} if path.suffix == ".png" else {"Date": None})


def _page(sweep: Sweep, found: HeatMap) -> str:
    # Here, because only this needs it.
    from infra.report import Fact, Facts, Figure, Part, Section, Text, page
    from infra.report.charts import axis, figure, layout, numbers, plain

    told = sweep.summary()
    best = {name: told["best"][name] for name in (found.down, found.across, sweep.metric)}
    cells = {
        "type": "heatmap",
        "x": [plain(str(value)) for value in found.columns],
        "y": [plain(str(value)) for value in found.rows],
        "z": [numbers(row) for row in found.values],
        "colorscale": "Viridis",
        "reversescale": sweep.metric in LOWER_IS_BETTER,
        "colorbar": {"thickness": 14},
        "texttemplate": "%{z:.3g}" if found.labelled else "",
        "hoverongaps": False,
        "hovertemplate": f"{plain(found.down)} %{{y}}<br>{plain(found.across)} %{{x}}<br>"
        f"{sweep.metric} %{{z:.6g}}<extra></extra>",
    }
    shape = layout(
        xaxis=axis(type="category", title={"text": plain(found.across)}, showgrid=False),
        yaxis=axis(type="category", title={"text": plain(found.down)}, showgrid=False, autorange="reversed"),
        hovermode="closest",
    )
    label = ", ".join(f"{name} {_figure(value)}" for name, value in best.items())
    facts = [
        Fact("Backtests", f"{told['runs']:,}, {told['failed']:,} failed"),
        Fact(f"Best by {sweep.metric}", label),
        Fact("Skill of the best by Sharpe ratio", _share(told["deflated_sharpe_ratio"]), "deflated Sharpe ratio"),
        Fact("Overfitting", _share(told["probability_of_overfitting"]), "probability that the choice is by chance"),
    ]
    height = 120 + 34 * min(max(len(found.rows), 6), LABELLED)
    section = Section(
        f"{sweep.metric} by {found.down} and {found.across}",
        (Figure(figure([cells], shape), f"Heat map of {sweep.metric}; the best is at {label}.", height),),
    )
    intro = (Text(f"{told['source']}, data {told['data_sha256'][:12]}.", "lead"), Facts(facts, "pairs"))
    return page("Sweep", [Part("Sweep", [section], intro, badge=f"{told['data'].upper()} DATA")])


def _share(value: float | None) -> str:
    return "too little to tell" if value is None else f"{value:.0%}"


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _ticks(values: Sequence[Any]) -> tuple[list[int], list[str]]:
    places = list(range(0, len(values), -(-len(values) // LABELLED)))
    return places, [str(values[place]) for place in places]


Axis = tuple[str, list[Any]]


def _axes(changes: Sequence[Mapping[str, Any]]) -> tuple[Axis, Axis]:
    varied = {name: _ordered({change[name] for change in changes}) for name in changes[0]}
    several = [(name, values) for name, values in varied.items() if len(values) > 1]
    if len(several) != 2:
        names = ", ".join(name for name, _ in several) or "none"
        raise ConfigError(f"a heat map is over two parameters with several values each, got {names}")
    return several[0], several[1]


def _ordered(values: set[Any]) -> list[Any]:
    numbers = all(isinstance(value, int | float) for value in values)
    return sorted(values) if numbers else sorted(values, key=str)
