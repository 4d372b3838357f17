"""Growth out of sample, as a picture: algorithms with the spread of their seeds, beside the baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rl.baselines import BASELINES
from rl.walk_forward import Outcome, Study, growth
from streams.errors import ConfigError

FORMATS = (".png", ".svg")


def check_format(path: Path) -> None:
    """Raise ConfigError for another format than FORMATS."""
    if path.suffix not in FORMATS:
        raise ConfigError(f"--picture {path}: expected a file that ends in {', '.join(FORMATS)}")


def write_growth(study: Study, outcomes: list[Outcome], path: Path) -> None:
    """Draw what 1 invested at the first test session became, one panel for each cost."""
    # Here, because only this needs it and it is slow to import.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    costs, panel = study.walk_forward.costs_bps, study.whole.panel
    kind = "synthetic" if panel.synthetic else "real"
    with mpl.rc_context({"svg.hashsalt": "finagent"}):
        figure = Figure(figsize=(9, 1.2 + 3.2 * len(costs)), layout="constrained")
        for axes, bps in zip(np.atleast_1d(figure.subplots(len(costs), sharex=True)), costs, strict=True):
            _draw(axes, study, [each for each in outcomes if each.bps == bps])
            axes.set_title(f"commission {bps:g} bps", fontsize=10)
            axes.set_ylabel("growth of 1, logarithmic")
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
            axes.grid(alpha=0.3)
        figure.axes[0].legend(fontsize=8)
        seeds = f"{study.walk_forward.seeds} seeds: mean, and lowest to highest"
        figure.suptitle(
            f"Out of sample, net of costs. {panel.source} ({kind}). {seeds}. config {study.config_hash[:12]}",
            fontsize=9,
        )
        figure.savefig(path, dpi=150, metadata={"Software": None} if path.suffix == ".png" else {"Date": None})


def _draw(axes: Any, study: Study, outcomes: list[Outcome]) -> None:
    dates = np.concatenate([part.test.panel.times[1:] for part in study.splits]).astype("datetime64[ns]")
    for name in dict.fromkeys(each.name for each in outcomes):
        levels = np.cumprod(1 + growth(each for each in outcomes if each.name == name), axis=1)
        style = {"linestyle": "--", "linewidth": 1} if name in BASELINES else {"linewidth": 1.6}
        (line,) = axes.plot(dates, levels.mean(axis=0), label=name, **style)
        if len(levels) > 1:
            axes.fill_between(dates, levels.min(axis=0), levels.max(axis=0), color=line.get_color(), alpha=0.2)
