"""What results of several runs have in common: equity curves and rows of figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infra.report.charts import COLOURS, DASHES, axis, figure, layout, line, numbers
from infra.report.content import Cell, Figure
from infra.report.wording import number, percent

Run = Mapping[str, Any]
"""A run as docs/sandbox.md describes it."""
COLUMNS = ("#Final equity", "#Total return", "#Sharpe", "#Max drawdown", "#Orders", "#Fills", "#Denials")


def equity_chart(runs: Sequence[tuple[str, Run]], height: int = 320) -> Figure:
    """Return the equity of named runs over time, thinned as their result is."""
    drawn = [
        line(times(run["equity"]["time"]), numbers(run["equity"]["equity"], 9), name, COLOURS[at % len(COLOURS)],
             dash=DASHES[at % len(DASHES)], width=2.2 if at == 0 else 1.5, hovertemplate="%{y:,.2f}")
        for at, (name, run) in enumerate(runs)
    ]  # fmt: skip
    ends = "; ".join(f"{name} ends at {number(run['final_value'])}" for name, run in runs)
    shape = layout(xaxis=axis(showgrid=False, type="date"), yaxis=axis(tickformat=",.0f"), showlegend=True)
    return Figure(figure(drawn, shape), f"Equity over time: {ends}.", height, log_scale=True)


def cells(run: Run) -> list[Cell | str]:
    """Return the cells of COLUMNS."""
    figures = run["performance_metrics"]
    return [
        number(run["final_value"]),
        percent(figures["total_return"], signed=True),
        number(figures["sharpe_ratio"]),
        percent(run["max_drawdown"]),
        *(f"{run[name]:,}" for name in ("orders", "fills", "denials")),
    ]


def times(rfc3339s: Sequence[str]) -> list[str]:
    """Return times as plotly reads them: days where each has its own."""
    days = [each[:10] for each in rfc3339s]
    return days if len(set(days)) == len(days) else [each[:23] for each in rfc3339s]
