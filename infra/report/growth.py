"""Equity against the benchmarks, with drawdown below."""

from __future__ import annotations

import numpy as np

from agents.metrics.drawdown import drawdowns
from agents.metrics.series import Levels, last_of, unit_of
from infra.report.charts import Spec, axis, figure, layout, line, numbers
from infra.report.content import Figure, Section, Table, Text
from infra.report.headline import daily
from infra.report.thinning import kept_rows
from infra.report.wording import moment, moments, number, percent
from orchestrator.study import Study
from schemas.columns import Float64

_STYLES = (("@orange", "dash"), ("@green", "dot"), ("@purple", "dashdot"))


def growth(study: Study) -> Section:
    """Return the section."""
    curves = [("Strategy", study.course.levels)]
    curves += [(each.name, each.levels) for each in study.comparison.benchmarks]
    start = study.run.initial_cash
    notes = [f"{each.name} {each.note}" for each in study.comparison.benchmarks]
    apart = "; ".join(notes) + ". All run through the same replay, on the same data, capital, costs and fill rule."
    return Section(
        "Equity and drawdown",
        (
            Figure(_spec(study, curves), _label(study, curves), 460, log_scale=True),
            Text(_thinned(study) + apart[:1].upper() + apart[1:], "note"),
            _figures(study),
            _table(curves, start, study.run.currency),
        ),
    )


def falls(levels: Levels, start: float) -> Float64:
    """Return the fall of each value from the highest so far, the start capital included, as a share <= 0."""
    return -drawdowns(np.concatenate(([start], levels.values)))[1:]


def _spec(study: Study, curves: list[tuple[str, Levels]]) -> Spec:
    data = []
    for at, (name, levels) in enumerate(curves):
        fall = falls(levels, study.run.initial_cash)
        kept = kept_rows([levels.values, fall])
        x = moments(levels.times[kept], daily=daily(study))
        color, dash = ("@blue", "solid") if at == 0 else _STYLES[(at - 1) % len(_STYLES)]
        style: Spec = {"color": color, "dash": dash, "width": 2.4 if at == 0 else 1.5}
        more: Spec = {"fill": "tozeroy", "fillcolor": "@blue-soft"} if at == 0 else {}
        money = f"%{{y:,.2f}} {study.run.currency}"
        data.append(line(x, numbers(levels.values[kept], 9), name, hovertemplate=money, legendgroup=name, **style))
        style = style | {"width": 1.4 if at == 0 else 1}
        data.append(
            line(x, numbers(fall[kept]), f"{name}, drawdown", showlegend=False, legendgroup=name, yaxis="y2",
                 hovertemplate="%{y:.2%}", **style, **more)
        )  # fmt: skip
    shape = layout(
        xaxis=axis(showgrid=False, anchor="y2", type="date"),
        yaxis=axis(domain=[0.34, 1], tickformat="~s" if study.run.initial_cash >= 1e6 else ",.0f"),
        yaxis2=axis(domain=[0, 0.27], tickformat=".0%", rangemode="tozero", nticks=4),
        hoversubplots="axis",
    )
    return figure(data, shape)


def _label(study: Study, curves: list[tuple[str, Levels]]) -> str:
    ends = "; ".join(f"{name} ends at {number(float(levels.values[-1]))}" for name, levels in curves)
    fall = percent(study.figures["max_drawdown"])
    begun = f"Equity over time from {number(study.run.initial_cash)} {study.run.currency}"
    return f"{begun}: {ends}. Below it the drawdown of each, of the strategy at most {fall}."


def _thinned(study: Study) -> str:
    total = len(study.course.times)
    drawn = len(kept_rows([study.course.equity, falls(study.course.levels, study.run.initial_cash)]))
    if drawn == total:
        return ""
    return f"Drawn are {drawn:,} of {total:,} values, highs and lows kept; the charts below are thinned likewise. "


def _figures(study: Study) -> Table:
    names = ("total_return", "annual_return", "volatility", "sharpe_ratio", "max_drawdown")
    rows = [["Strategy", *_row(study.figures, names), *_relative(study)]]
    rows += [[each.name, *_row(each.figures, names), "-", "-", "-"] for each in study.comparison.benchmarks]
    columns = (
        "Run",
        "#Total return",
        "#Annual return",
        "#Volatility",
        "#Sharpe",
        "#Max drawdown",
        "#Beta",
        "#Alpha",
        "#Information ratio",
    )
    return Table("Figures; beta, alpha and information ratio are against buy and hold", columns, rows, heading=True)


def _row(figures: dict[str, float | None], names: tuple[str, ...]) -> list[str]:
    return [number(figures[n]) if n == "sharpe_ratio" else percent(figures[n]) for n in names]


def _relative(study: Study) -> list[str]:
    found = study.relative
    return [number(found["beta"]), percent(found["alpha"]), number(found["information_ratio"])]


def _table(curves: list[tuple[str, Levels]], start: float, currency: str) -> Table:
    unit = unit_of(curves[0][1].times)
    lasts = [last_of(levels, unit) for _, levels in curves]
    rows = [
        [
            moment(int(ts), daily=unit in "MWD"),
            *(number(float(each.values[at])) for each in lasts if at < len(each.values)),
        ]
        for at, ts in enumerate(lasts[0].times)
    ]
    rows = [row for row in rows if len(row) == len(curves) + 1]
    columns = ("Time (UTC)", *(f"#{name}" for name, _ in curves))
    return Table(
        f"The chart as a table: equity at the end of each period, {currency}", columns, rows[-400:], folded=True
    )
