"""What is left when trading costs more than assumed."""

from __future__ import annotations

from infra.report.charts import axis, figure, layout, line, numbers
from infra.report.content import Figure, Section, Table, Text
from infra.report.headline import daily
from infra.report.thinning import kept_rows
from infra.report.wording import moments, number, percent
from orchestrator.study import Study

_STYLES = (("@blue", "solid"), ("@blue-mid", "dash"), ("@blue-pale", "dot"))


def costs(study: Study) -> Section:
    """Return the section."""
    cases, currency = study.comparison.costs, study.run.currency
    drawn = []
    for (color, dash), case in zip(_STYLES, cases, strict=False):
        kept = kept_rows([case.levels.values])
        x = moments(case.levels.times[kept], daily=daily(study))
        y = numbers(case.levels.values[kept], 9)
        drawn.append(line(x, y, f"{case.multiple:g}x costs", color, dash=dash, hovertemplate=f"%{{y:,.2f}} {currency}"))
    ends = "; ".join(f"{case.multiple:g}x ends at {number(float(case.levels.values[-1]))}" for case in cases)
    rows = [
        [
            f"{case.multiple:g}x",
            number(float(case.levels.values[-1])),
            percent(case.figures["total_return"], signed=True),
            number(case.figures["sharpe_ratio"]),
            f"{case.fills:,}",
            *(number(each) for each in (case.commission, case.spread, case.impact)),
            number(case.commission + case.spread + case.impact),
        ]
        for case in cases
    ]
    columns = (
        "Costs",
        "#Final equity",
        "#Total return",
        "#Sharpe",
        "#Fills",
        "#Commission",
        "#Half spread",
        "#Impact",
        "#Paid in all",
    )
    note = "Each line is the strategy run again through the replay with commission, half spread and impact multiplied: "
    note += "sizes and fills may differ."
    shape = layout(
        xaxis=axis(showgrid=False, type="date"),
        yaxis=axis(tickformat="~s" if study.run.initial_cash >= 1e6 else ",.0f"),
    )
    chart = Figure(figure(drawn, shape), f"Equity at multiples of the costs: {ends} {currency}.", 280)
    return Section(
        "Costs at 1x, 2x and 3x",
        (chart, Table(f"Amounts in {currency}", columns, rows, heading=True), Text(note, "note")),
    )
