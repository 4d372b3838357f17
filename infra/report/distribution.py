"""How returns are distributed, next to a normal distribution."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from agents.metrics.returns import simple_returns
from agents.metrics.series import last_of
from infra.report.charts import Spec, axis, bars, figure, layout, line, numbers
from infra.report.content import Fact, Facts, Figure, Section, Text
from infra.report.headline import daily
from infra.report.wording import number, percent
from orchestrator.study import Study
from schemas.columns import Float64

LEAST = 10
"""Returns that a histogram needs."""
BINS = (12, 60)
"""Least and most bins; between them the Freedman-Diaconis rule decides."""


def distribution(study: Study) -> Section:
    """Return the section."""
    days = last_of(study.course.levels, "D")
    by_day = len(days.times) >= 30 or daily(study)
    what = "daily returns" if by_day else "returns per slice"
    values = days.values if by_day else study.course.equity
    every = simple_returns(np.concatenate(([study.run.initial_cash], values)))
    # Without a position nothing moves: those returns say nothing about the strategy's bets and dwarf all other bars.
    changes = every[every != 0]
    title = f"Distribution of {what}"
    if len(changes) < LEAST or np.ptp(changes) == 0:
        return Section(
            title, (Text(f"{len(changes):,} {what} differ from 0: too few, or all alike.", "note"),), half=True
        )
    mean, spread = float(changes.mean()), float(changes.std(ddof=1))
    label = (
        f"Histogram of {len(changes):,} {what} other than 0, mean {percent(mean, 3)}, "
        f"standard deviation {percent(spread, 3)}, with the normal curve of both."
    )
    facts = [
        Fact(
            "Mean, deviation of all",
            f"{percent(float(every.mean()), 3, signed=True)}, {percent(float(every.std(ddof=1)), 3)}",
        ),
        Fact("Worst, best", f"{percent(float(every.min()), signed=True)}, {percent(float(every.max()), signed=True)}"),
        Fact("Skewness, excess kurtosis", f"{number(study.figures['skewness'])}, {number(study.figures['kurtosis'])}"),
        Fact("Exactly 0, not drawn", f"{len(every) - len(changes):,} of {len(every):,}"),
    ]
    return Section(title, (Figure(_histogram(changes, mean, spread), label, 280), Facts(facts, "pairs")), half=True)


def edges_of(changes: Float64) -> Float64:
    """Return the edges of bins of equal width, one of which is at 0."""
    rule = len(np.histogram_bin_edges(changes, bins="fd")) - 1
    width = float(np.ptp(changes)) / int(np.clip(rule, *BINS))
    low, high = np.floor(changes.min() / width), np.ceil(changes.max() / width)
    edges: Float64 = np.arange(low, high + 1) * width
    return edges


def _histogram(changes: Float64, mean: float, spread: float) -> Spec:
    edges = edges_of(changes)
    counts = np.histogram(changes, bins=edges)[0]
    width = float(edges[1] - edges[0])
    centres = (edges[:-1] + edges[1:]) / 2
    x = np.linspace(edges[0], edges[-1], 120)
    normal = NormalDist(mean, spread)
    curve = np.array([normal.pdf(float(each)) for each in x]) * len(changes) * width
    shown = bars(numbers(centres), [int(each) for each in counts], "Returns", "@blue", showlegend=False)
    shown["marker"] = {"color": ["@blue" if centre > 0 else "@red" for centre in centres]}
    shown |= {"width": [width * 0.94] * len(counts), "hovertemplate": "%{y} around %{x:.2%}<extra></extra>"}
    bell = line(numbers(x), numbers(curve), "Normal, same mean and deviation", "@grey", dash="dash", hoverinfo="skip")
    across = axis(showgrid=False, tickformat=".1%" if spread >= 5e-4 else ".3%")
    return figure([shown, bell], layout(xaxis=across, yaxis=axis(), hovermode="closest", bargap=0))
