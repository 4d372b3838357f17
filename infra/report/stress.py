"""A stress test: losses by scenario and severity, and the curves of the worst."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.report.charts import COLOURS, axis, bars, figure, layout, numbers
from infra.report.content import Cell, Fact, Facts, Figure, Row, Section, Table, Text
from infra.report.runs import COLUMNS, cells, equity_chart
from infra.report.wording import number, percent


def stress(result: Mapping[str, Any]) -> list[Section]:
    """Return the sections of the result's stress section."""
    found = result["stress"]
    return [_losses(found), _worst(found), _all(found), _shocks(found)]


def _losses(found: Mapping[str, Any]) -> Section:
    severest = max(run["severity"] for run in found["runs"])
    names = list(found["scenarios"])
    titles = [found["scenarios"][name]["title"] for name in names]
    drawn = []
    for at, baseline in enumerate(found["baselines"]):
        mine = {
            r["scenario"]: r
            for r in found["runs"]
            if r["strategy"] == baseline["strategy"] and r["severity"] == severest
        }
        shares = numbers([-mine[name]["loss_share"] for name in names])
        drawn.append(bars(titles, shares, baseline["strategy"], COLOURS[at % len(COLOURS)], hovertemplate="%{y:.2%}"))
    said = "; ".join(
        f"{r['scenario']} {r['strategy']} {percent(r['loss_share'])}"
        for r in found["runs"]
        if r["severity"] == severest
    )
    shape = layout(
        xaxis=axis(showgrid=False, type="category"),
        yaxis=axis(tickformat=".0%"),
        barmode="group",
        bargap=0.45,
        showlegend=True,
    )
    chart = Figure(figure(drawn, shape), f"Loss against the unshocked run at severity {severest:g}: {said}.", 320)
    note = "Final value against the same strategy's run on the data as they are, at the highest severity, "
    note += f"{severest:g}; below 0 is lost."
    return Section("What each shock costs", (chart, Text(note, "note")))


def _worst(found: Mapping[str, Any]) -> Section:
    worst = found["worst"]
    runs = [r for r in found["runs"] if all(r[key] == worst[key] for key in ("scenario", "severity", "strategy"))]
    base = [r for r in found["baselines"] if r["strategy"] == worst["strategy"]]
    title = found["scenarios"][worst["scenario"]]["title"]
    named = [("As it was", base[0]), (f"{title}, severity {worst['severity']:g}", runs[0])]
    note = f"{worst['strategy']}; the shock begins on {found['shock']['session']}."
    return Section("The worst of them", (equity_chart(named), Text(note, "note")))


def _all(found: Mapping[str, Any]) -> Section:
    rows: list[Row] = []
    for run in [*found["baselines"], *found["runs"]]:
        share, recovered = run.get("loss_share"), run.get("time_to_recover")
        shocked = "scenario" in run
        back = "-" if not shocked else "not in the data" if recovered is None else f"{recovered} bars"
        rows.append(
            [run.get("scenario", "as it was"), f"{run['severity']:g}" if shocked else "", run["strategy"],
             Cell(percent(share) if shocked else "", -min(share, 1.0) if share else None), back, *cells(run)]
        )  # fmt: skip
    columns = ("Scenario", "#Severity", "Strategy", "#Loss", "Recovered after", *COLUMNS)
    return Section(
        "All runs", (Table("Loss is a share of the unshocked run's final value", columns, rows, heading=True),)
    )


def _shocks(found: Mapping[str, Any]) -> Section:
    rows = [[each["title"], f"{each['bars']}", each["reason"]] for each in found["scenarios"].values()]
    betas = ", ".join(f"{name} {number(beta)}" for name, beta in found["market"]["betas"].items())
    facts = [
        Fact("First shocked session", found["shock"]["session"]),
        Fact("Betas", betas),
        Fact("Market", found["market"]["benchmark"]),
    ]
    return Section(
        "The shocks",
        (Facts(facts, "pairs"), Table("Where their sizes come from", ("Shock", "#Bars", "~Size"), rows, heading=True)),
    )
