"""Returns by month and over a rolling window, and how sure the figures are."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from agents.metrics.returns import simple_returns
from agents.metrics.series import Levels, last_of, period_returns, rolling_sharpe
from infra.report.charts import axis, figure, layout, line, numbers
from infra.report.content import Cell, Figure, Row, Section, Table, Text
from infra.report.distribution import distribution
from infra.report.thinning import kept_rows
from infra.report.wording import moments, number, percent
from orchestrator.study import DAYS_PER_YEAR, Interval, Study

WINDOWS = (63, 21)
"""Trading days of the rolling Sharpe ratio: a quarter, or a month where there are not two quarters."""
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NAMES = {
    "total_return": "Total return",
    "annual_return": "Annual return",
    "volatility": "Volatility, per year",
    "sharpe_ratio": "Sharpe ratio, per year",
    "max_drawdown": "Maximum drawdown",
    "cvar_95": "CVaR 95 %, per period",
}


def outcomes(study: Study) -> list[Section]:
    """Return the sections that the run is long enough for."""
    found = [_months(study), _rolling(study), distribution(study), _intervals(study)]
    return [each for each in found if each is not None]


def monthly(levels: Levels, start: float) -> dict[int, dict[int, float]]:
    """Return the return of each month by year and month; the years' are under month 0."""
    table: dict[int, dict[int, float]] = defaultdict(dict)
    for unit in ("M", "Y"):
        for begun, value in period_returns(levels, unit, start):
            day = np.datetime64(begun, "ns")
            year = int(day.astype("datetime64[Y]").astype(int)) + 1970
            table[year][int(day.astype("datetime64[M]").astype(int)) % 12 + 1 if unit == "M" else 0] = value
    return dict(table)


def _months(study: Study) -> Section | None:
    levels, start = study.course.levels, study.run.initial_cash
    if len(last_of(levels, "M").times) < 2 or (study.course.equity <= 0).any():
        return None
    table = monthly(levels, start)
    strongest = max((abs(v) for row in table.values() for month, v in row.items() if month), default=0) or 1.0
    rows: list[Row] = [
        [str(year), *(_heat(row.get(month), strongest) for month in (*range(1, 13), 0))] for year, row in table.items()
    ]
    columns = ("Year", *(f"#{month}" for month in MONTHS), "#Year")
    return Section(
        "Monthly returns",
        (
            Table(
                "Return of each month and year; the first and the last may be incomplete", columns, rows, heading=True
            ),
        ),
    )


def _heat(value: float | None, strongest: float) -> Cell:
    return Cell("") if value is None else Cell(percent(value, 1, signed=True), value / strongest)


def _days(study: Study) -> Levels:
    return last_of(study.course.levels, "D")


def _rolling(study: Study) -> Section | None:
    days = _days(study)
    changes = simple_returns(np.concatenate(([study.run.initial_cash], days.values)))
    window = next((each for each in WINDOWS if len(changes) >= 2 * each), None)
    if window is None:
        return None
    ratio = rolling_sharpe(changes, window, DAYS_PER_YEAR)
    times = days.times[window - 1 :]
    kept = kept_rows([ratio])
    curves = [
        line(moments(times[kept], daily=True), numbers(ratio[kept]), "Strategy", "@blue", hovertemplate="%{y:.2f}")
    ]
    for each in study.comparison.benchmarks[:1]:
        other = last_of(each.levels, "D")
        theirs = rolling_sharpe(
            simple_returns(np.concatenate(([study.run.initial_cash], other.values))), window, DAYS_PER_YEAR
        )
        if len(theirs):
            rows = kept_rows([theirs])
            x = moments(other.times[window - 1 :][rows], daily=True)
            curves.append(
                line(x, numbers(theirs[rows]), each.name, "@orange", dash="dash", width=1.5, hovertemplate="%{y:.2f}")
            )
    defined = ratio[~np.isnan(ratio)]
    low, high = (float(defined.min()), float(defined.max())) if len(defined) else (None, None)
    label = f"Sharpe ratio over the last {window} daily returns, between {number(low)} and {number(high)}."
    shape = layout(xaxis=axis(showgrid=False, type="date"), yaxis=axis(tickformat=".1f", zeroline=True))
    note = f"Window: {window} trading days; annualised by the root of {DAYS_PER_YEAR}, risk-free rate 0."
    return Section("Rolling Sharpe ratio", (Figure(figure(curves, shape), label, 280), Text(note, "note")), half=True)


def _intervals(study: Study) -> Section:
    made = study.intervals
    rows: list[Row] = []
    for each in sorted(made.of, key=lambda interval: list(_NAMES).index(interval.name)):
        shown = number if each.name == "sharpe_ratio" else percent
        low, high = each.bounds or (None, None)
        rows.append([_NAMES[each.name], shown(low), shown(each.value), shown(high), _span(each)])
    note = (
        f"{made.level:.0%} percentile intervals of {made.resamples:,} stationary bootstrap resamples of "
        f"{made.observations:,} returns, one per {made.period}; mean block {made.mean_block:.1f} "
        f"(Politis and White 2004), seed {made.seed}."
    )
    columns = ("Figure", "#Low", "#Estimate", "#High", "From low to high, the line at 0")
    return Section(
        "How sure the figures are",
        (Table("Confidence intervals", columns, rows, heading=True), Text(note, "note")),
    )


def _span(interval: Interval) -> Cell:
    if interval.bounds is None or interval.value is None:
        return Cell("")
    low, high = interval.bounds
    least, most = min(0.0, low, interval.value), max(0.0, high, interval.value)
    width = (most - least) * 1.06 or 1.0
    at = [(each - least) / width + 0.03 for each in (low, high, interval.value, 0.0)]
    return Cell("", span=(at[0], at[1], at[2], at[3]))
