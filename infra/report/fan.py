"""A Monte Carlo: the fan of equity over resampled paths, and where each figure of history stands among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from infra.report.charts import Spec, axis, bars, figure, layout, line, numbers
from infra.report.content import Fact, Facts, Figure, Row, Section, Table, Text
from infra.report.runs import times
from infra.report.wording import number, percent

_NAMES = {
    "final_value": "Final equity",
    "total_return": "Total return",
    "sharpe_ratio": "Sharpe ratio",
    "max_drawdown": "Maximum drawdown",
}


def fan(result: Mapping[str, Any]) -> list[Section]:
    """Return the sections of the result's monte_carlo section."""
    found = result["monte_carlo"]
    return [_fan(found), _ends(found), _distribution(found)]


def _fan(found: Mapping[str, Any]) -> Section:
    x = times(found["fan"]["time"])
    bands = {int(level): numbers(values, 9) for level, values in found["fan"]["percentiles"].items()}
    drawn: list[Spec] = []
    for low, high, color in ((5, 95, "@blue-soft"), (25, 75, "@blue-mid")):
        edge = {"width": 0, "hoverinfo": "skip"}
        drawn.append(line(x, bands[low], f"{low} %", color, showlegend=False, **edge))
        drawn.append(
            line(x, bands[high], f"{low} to {high} % of paths", color, fill="tonexty", fillcolor=color, **edge)
        )
    drawn.append(line(x, bands[50], "Median path", "@blue", hovertemplate="%{y:,.2f}"))
    real = found["real"]["equity"]
    drawn.append(
        line(
            times(real["time"]),
            numbers(real["equity"], 9),
            "History",
            "@orange",
            dash="dash",
            hovertemplate="%{y:,.2f}",
        )
    )
    spread = found["distribution"]["final_value"]["percentiles"]
    ends = ", ".join(f"{level} % of them below {number(spread[level])}" for level in ("5", "50", "95"))
    history = number(found["real"]["final_value"])
    label = f"Equity over {found['paths']:,} resampled paths; at the end {ends}; history ends at {history}."
    shape = layout(xaxis=axis(showgrid=False, type="date"), yaxis=axis(tickformat=",.0f"))
    block = f"stationary bootstrap, mean block {number(found['mean_block'], 1)} bars"
    note = (
        f"{found['paths']:,} paths: the strategy really run on resampled history ({block}). The drift is the sample's."
    )
    return Section("Equity over the paths", (Figure(figure(drawn, shape), label, 380), Text(note, "note")))


def _ends(found: Mapping[str, Any]) -> Section:
    values = np.array(found["final_values"], dtype=float)
    if len(values) < 2 or np.ptp(values) == 0:
        return Section("Final equity", (Text("All paths end alike.", "note"),), half=True)
    counts, edges = np.histogram(values, bins=int(np.clip(len(np.histogram_bin_edges(values, bins="fd")) - 1, 8, 60)))
    centres, width = (edges[:-1] + edges[1:]) / 2, float(edges[1] - edges[0])
    columns = bars(
        numbers(centres), [int(each) for each in counts], "Paths", "@sky", width=[width * 0.94] * len(counts)
    )
    ends = found["real"]["final_value"]
    mark = {
        "type": "line",
        "x0": ends,
        "x1": ends,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"color": "@orange", "width": 2, "dash": "dash"},
    }
    shape = layout(
        xaxis=axis(showgrid=False, tickformat=",.0f", nticks=6), yaxis=axis(), hovermode="closest", shapes=[mark]
    )
    loss = found["probability_of_loss"]
    facts = [Fact("Paths that lose", percent(loss, 1)), Fact("History ends at", number(ends))]
    label = f"Histogram of the final equity of {len(values):,} paths; {percent(loss, 1)} end below the start capital."
    return Section(
        "Final equity; the line is history",
        (Figure(figure([columns], shape), label, 280), Facts(facts, "pairs")),
        half=True,
    )


def _distribution(found: Mapping[str, Any]) -> Section:
    levels = ("5", "50", "95")
    rows: list[Row] = []
    for name, each in found["distribution"].items():
        shown = percent if name in ("total_return", "max_drawdown") else number
        spread = each["percentiles"] or {}
        rows.append(
            [
                _NAMES[name],
                *(shown(spread.get(level)) for level in levels),
                shown(each["real"]),
                percent(each["real_rank"], 0),
            ]
        )
    columns = ("Figure", "#5 %", "#Median", "#95 %", "#History", "#Its rank")
    note = "Rank: the share of paths with a lower figure than history."
    return Section("Figures over the paths", (Table("Percentiles", columns, rows, heading=True), Text(note, "note")))
