"""The main chart as a picture: equity against the benchmarks with drawdown below; no browser needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from agents.metrics.series import Levels
from infra.report.growth import falls
from infra.report.headline import kind, period
from infra.report.wording import number, percent
from orchestrator.study import Study

SIZE = (11.0, 6.2)
"""Inches, at DPI dots each."""
DPI = 110
_TEXT, _SOFT, _LINE = "#16202c", "#566373", "#e0e4ea"
_STYLES = (("#0072b2", "solid", 2.2), ("#c46a00", (0, (5, 2)), 1.4), ("#00805f", (0, (1.2, 1.4)), 1.5))
_RC: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _TEXT,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _SOFT,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": _LINE,
    "svg.hashsalt": "finagent",
}


def picture(study: Study, path: Path) -> Path:
    """Write the chart as PNG (or what the name's ending says: .svg, .pdf); return the path."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_RC):
        figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained", facecolor="white")
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # type: ignore[call-arg, union-attr]
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        curves = [("Strategy", study.course.levels), *((b.name, b.levels) for b in study.comparison.benchmarks)]
        for at, (name, levels) in enumerate(curves):
            _draw(upper, lower, name, levels, study.run.initial_cash, at)
        _title(upper, study)
        upper.legend(loc="upper left", frameon=False, ncols=len(curves))
        upper.set_ylabel(f"Equity, {study.run.currency}")
        upper.yaxis.set_major_formatter("{x:,.0f}")
        lower.set_ylabel("Drawdown")
        lower.yaxis.set_major_formatter(lambda share, _: f"{round(share * 100, 2):g}%")
        lower.margins(x=0.01)
        figure.savefig(path, metadata={"Software": None} if path.suffix == ".png" else None)
    return path


def _draw(upper: Any, lower: Any, name: str, levels: Levels, start: float, at: int) -> None:
    color, dash, width = _STYLES[at % len(_STYLES)]
    times, fall = levels.times.astype("datetime64[ns]").astype("datetime64[us]"), falls(levels, start)
    label = f"{name} {percent(float(levels.values[-1]) / start - 1, 1, signed=True)}"
    upper.plot(times, levels.values, color=color, linestyle=dash, linewidth=width, label=_literal(label), zorder=5 - at)
    lower.plot(times, fall, color=color, linestyle=dash, linewidth=width * 0.65, zorder=5 - at)
    if at == 0:
        lower.fill_between(times, fall, np.zeros(len(fall)), color=color, alpha=0.14, linewidth=0)


def _title(upper: Any, study: Study) -> None:
    figures = study.figures
    data = f"{kind(study).lower()} data: {study.manifest['source']}"
    said = [f"{period(study)}, {data}", f"fills at {study.manifest['fill']}, after costs"]
    if figures["sharpe_ratio"] is not None:
        said.append(f"Sharpe {number(figures['sharpe_ratio'])}")
    said.append(f"max drawdown {percent(figures['max_drawdown'], 1)}")
    upper.set_title(_literal(study.heading), loc="left", fontsize=15, fontweight="bold", pad=26)
    upper.text(0, 1.035, _literal("; ".join(said)), transform=upper.transAxes, fontsize=9.5, color=_SOFT)


def _literal(text: str) -> str:
    """Return text without what matplotlib would read as a formula."""
    return text.replace("$", r"\$")
