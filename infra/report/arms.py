"""An A/B test: both curves, their difference, and whether the data can tell them apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.report.charts import axis, figure, layout, line, numbers
from infra.report.content import Fact, Facts, Figure, Section, Table, Text
from infra.report.runs import COLUMNS, cells, equity_chart
from infra.report.wording import number, percent


def arms(result: Mapping[str, Any]) -> list[Section]:
    """Return the sections of the result's ab_test section."""
    found = result["ab_test"]
    return [_verdict(found), _curves(found), _difference(found)]


def _verdict(found: Mapping[str, Any]) -> Section:
    low, high = found["annual_interval"] or (None, None)
    p = found["p_value"]
    facts = [
        Fact("B less A, per year", percent(found["annual_difference"], signed=True)),
        Fact(f"{found['confidence']:.0%} interval", f"{percent(low, signed=True)} to {percent(high, signed=True)}"),
        Fact("p-value, two-sided", "undefined" if p is None else f"{p:.3f}"),
        Fact("Effect size, per year", number(found["annual_effect_size"])),
        Fact("Days", f"{found['days']:,}"),
    ]
    block = f"mean block {number(found['mean_block'], 1)} days"
    verdict = f"{found['verdict'][:1].upper()}{found['verdict'][1:]}."
    note = f"Paired by day; {found['resamples']:,} stationary bootstrap resamples, {block}."
    return Section("Verdict", (Text(verdict), Facts(facts), Text(note, "note")))


def _curves(found: Mapping[str, Any]) -> Section:
    named = [(f"{run['arm']}: {run['strategy']}", run) for run in found["arms"]]
    rows = [[name, *cells(run)] for name, run in named]
    return Section("Both arms", (equity_chart(named), Table("Figures", ("Arm", *COLUMNS), rows, heading=True)))


def _difference(found: Mapping[str, Any]) -> Section:
    days, values = found["difference"]["day"], found["difference"]["cumulative"]
    curve = line(
        days, numbers(values), "B less A", "@purple", fill="tozeroy", fillcolor="@blue-soft", hovertemplate="%{y:.2%}"
    )
    shape = layout(xaxis=axis(showgrid=False, type="date"), yaxis=axis(tickformat=".1%"))
    ends = percent(values[-1] if values else None)
    label = f"Sum of daily differences of returns, B less A, over time; it ends at {ends}."
    note = Text("Sum of daily returns of B less those of A.", "note")
    return Section("Difference", (Figure(figure([curve], shape), label, 260), note))
