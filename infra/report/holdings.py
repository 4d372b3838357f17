"""What the account held: weights by instrument, gross and net exposure, turnover."""

from __future__ import annotations

import numpy as np

from agents.metrics.series import Levels, turnover, unit_of
from infra.report.charts import COLOURS, Spec, axis, bars, figure, layout, line, numbers
from infra.report.content import Fact, Facts, Figure, Section, Text
from infra.report.headline import daily
from infra.report.thinning import kept_rows
from infra.report.wording import moments, number, percent
from orchestrator.study import Study
from schemas.columns import Float64

SHOWN = 7
"""Instruments with a colour of their own; the others are drawn together."""
_UNITS = {"M": "month", "W": "week", "D": "day", "h": "hour", "m": "minute", "s": "second"}


def holdings(study: Study) -> list[Section]:
    """Return the sections."""
    if not study.course.values:
        return [Section("Positions and exposure", (Text("The run never held a position.", "note"),))]
    return [_weights(study), _exposure(study), _turnover(study)]


def grouped(weights: dict[str, Float64]) -> dict[str, Float64]:
    """Return the weights of the instruments that weigh most on average, and the others' together."""
    order = sorted(weights, key=lambda name: (-float(np.nan_to_num(np.abs(weights[name])).mean()), name))
    shown = {name: weights[name] for name in order[:SHOWN]}
    if len(order) > SHOWN:
        shown[f"{len(order) - SHOWN} others"] = np.sum([weights[name] for name in order[SHOWN:]], axis=0)
    return shown


def _weights(study: Study) -> Section:
    course = study.course
    weights = grouped(course.weights())
    kept = kept_rows(list(weights.values()))
    x = moments(course.times[kept], daily=daily(study))
    drawn: list[Spec] = []
    for at, (name, column) in enumerate(weights.items()):
        color = COLOURS[at % len(COLOURS)]
        for sign, group in ((1, "long"), (-1, "short")):
            side = np.clip(column[kept] * sign, 0, None) * sign
            if not np.nan_to_num(side).any():
                continue
            drawn.append(
                line(x, numbers(side), name, color, width=0.5, shape="hv", stackgroup=group, fillcolor=color,
                     legendgroup=name, showlegend=not any(each["legendgroup"] == name for each in drawn),
                     hovertemplate="%{y:.1%}")
            )  # fmt: skip
    label = "Weights of positions over time, stacked. Mean: " + ", ".join(
        f"{name} {percent(float(np.nanmean(column)), 1)}" for name, column in weights.items()
    )
    shape = layout(xaxis=axis(showgrid=False, type="date"), yaxis=axis(tickformat=".0%", rangemode="tozero"))
    held = _last(study)
    note = "Value at mark over equity at the end of each slice; what is missing to 100 % is cash. " + held
    return Section("Positions by weight", (Figure(figure(drawn, shape), label, 300), Text(note, "note")))


def _last(study: Study) -> str:
    state = study.last_state
    if state is None or not state.positions:
        return "At the end all is cash."
    open_ = ", ".join(f"{each.quantity:,.8g} {each.instrument_id} at {each.mark:,.4f}" for each in state.positions[:12])
    more = f" and {len(state.positions) - 12} more" if len(state.positions) > 12 else ""
    return f"Open at the end: {open_}{more}; cash {state.cash:,.2f} {state.currency}."


def _exposure(study: Study) -> Section:
    course = study.course
    gross, net = course.gross(), course.net()
    kept = kept_rows([gross, net])
    x = moments(course.times[kept], daily=daily(study))
    same = bool(np.allclose(gross, net, equal_nan=True))
    drawn = [
        line(
            x,
            numbers(gross[kept]),
            "Gross" if not same else "Gross = net (no shorts)",
            "@blue",
            hovertemplate="%{y:.1%}",
            shape="hv",
            fill="tozeroy",
            fillcolor="@blue-soft",
        )
    ]
    if not same:
        drawn.append(line(x, numbers(net[kept]), "Net", "@orange", dash="dash", shape="hv", hovertemplate="%{y:.1%}"))
    means = [percent(float(np.nanmean(each)), 1) for each in (gross, net)]
    label = f"Exposure over time: gross {means[0]} of equity on average, net {means[1]}."
    shape = layout(xaxis=axis(showgrid=False, type="date"), yaxis=axis(tickformat=".0%", rangemode="tozero"))
    facts = [
        Fact("Mean gross, net", ", ".join(means)),
        Fact("Highest gross", percent(float(np.nanmax(gross)), 1)),
        Fact("Slices in the market", percent(float((np.nan_to_num(gross) > 0).mean()), 1)),
    ]
    return Section("Exposure", (Figure(figure(drawn, shape), label, 260), Facts(facts, "pairs")), half=True)


def _turnover(study: Study) -> Section:
    levels = Levels(study.course.times, study.course.equity)
    unit = unit_of(levels.times)
    name = _UNITS[unit]
    if (levels.values <= 0).any():
        return Section(
            "Turnover", (Text("Equity is not positive throughout: turnover is undefined.", "note"),), half=True
        )
    found = turnover(study.fills, levels, unit)
    values = np.array([each.value for each in found])
    x = moments([each.start for each in found], daily=unit in "MWD")
    drawn = [bars(x, numbers(values), f"Turnover per {name}", "@sky", hovertemplate="%{y:.1%}")]
    mean, most = percent(float(values.mean()), 1), percent(float(values.max()), 1)
    label = f"Turnover per {name}, {mean} on average, {most} at most."
    shape = layout(xaxis=axis(showgrid=False, type="date"), yaxis=axis(tickformat=".0%"), showlegend=False)
    paid = study.comparison.costs[0]
    facts = [
        Fact(f"Mean per {name}", mean),
        Fact(
            "Per year",
            f"{number(study.figures['turnover'])} x equity" if study.figures["turnover"] is not None else "-",
        ),
        Fact("Costs paid", f"{number(paid.commission + paid.spread + paid.impact)} {study.run.currency}"),
    ]
    note = "Half the value traded over the period's mean equity: 100 % is everything sold and bought once."
    return Section(
        "Turnover", (Figure(figure(drawn, shape), label, 260), Facts(facts, "pairs"), Text(note, "note")), half=True
    )
