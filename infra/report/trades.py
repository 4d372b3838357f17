"""Round trips, fills and denials; each fill and denial opens the chain of decisions behind it."""

from __future__ import annotations

from agents.metrics.trading import profit_factor, win_rate
from infra.report.content import Cell, Fact, Facts, Row, Section, Table, Text
from infra.report.wording import last_of, moment, number, percent, span, units
from orchestrator.recording import KEPT
from orchestrator.study import Study

TRIPS = 200
"""Round trips that are listed."""


def trades(study: Study) -> list[Section]:
    """Return the sections."""
    return [_trips(study), _fills(study), _denials(study)]


def _trips(study: Study) -> Section:
    trips = list(study.trips)
    if not trips:
        return Section("Round trips", (Text("No position was closed.", "note"),))
    profits = [trip.profit for trip in trips]
    held = sum(trip.closed - trip.opened for trip in trips) / len(trips) / 1e9
    best, worst = max(trips, key=lambda t: t.profit), min(trips, key=lambda t: t.profit)
    facts = [
        Fact("Closed round trips", f"{len(trips):,}"),
        Fact("Win rate", percent(win_rate(profits), 1)),
        Fact("Profit factor", number(profit_factor(profits))),
        Fact("Mean profit", f"{number(sum(profits) / len(trips))} {study.run.currency}"),
        Fact("Best", f"{number(best.profit)}, {best.instrument_id}"),
        Fact("Worst", f"{number(worst.profit)}, {worst.instrument_id}"),
        Fact("Mean time held", span(held)),
    ]
    rows: list[Row] = [
        [moment(trip.opened), moment(trip.closed), trip.instrument_id, trip.side, units(trip.quantity),
         number(trip.entry_price, 4), number(trip.exit_price, 4), _profit(trip.profit),
         percent(trip.share, signed=True)]
        for trip in trips[-TRIPS:]
    ]  # fmt: skip
    columns = (
        "Opened (UTC)",
        "Closed (UTC)",
        "Instrument",
        "Side",
        "#Quantity",
        "#Entry",
        "#Exit",
        "#Profit",
        "#Return",
    )
    caption = last_of(len(rows), len(trips), "closed round trips")
    return Section(
        "Round trips",
        (
            Facts(facts, "pairs"),
            Table(f"{caption} Profit is after commission, in {study.run.currency}.", columns, rows),
        ),
    )


def _profit(value: float) -> Cell:
    return Cell(f"{value:+,.2f}", tone="gain" if value > 0 else "loss" if value < 0 else "")


def _fills(study: Study) -> Section:
    if not study.fills:
        return Section("Fills", (Text("No order was filled.", "note"),))
    shown = [fill for fill in study.fills[-KEPT:] if fill.fill_id in study.chains]
    rows: list[Row] = [
        [moment(fill.ts_event), fill.instrument_id, fill.side, units(fill.quantity), number(fill.price, 4),
         number(fill.commission), number(fill.spread_cost), number(fill.impact_cost), fill.fill_id]
        for fill in shown
    ]  # fmt: skip
    columns = (
        "Time (UTC)",
        "Instrument",
        "Side",
        "#Quantity",
        "#Price",
        "#Commission",
        "#Half spread",
        "#Impact",
        "Fill id",
    )
    caption = last_of(len(rows), len(study.fills), "fills")
    caption += " Open a row for the decisions behind it, down to the market data."
    return Section("Fills and why they happened", (Table(caption, columns, rows, [fill.fill_id for fill in shown]),))


def _denials(study: Study) -> Section:
    if not study.denials:
        return Section("Denials", (Text("Risk denied no order.", "note"),))
    shown = [each for each in study.denials[-KEPT:] if each.proposal_id in study.chains]
    rows = [[moment(d.ts_event), d.instrument_id, d.side, units(d.quantity), d.code, d.reason] for d in shown]
    caption = last_of(len(rows), len(study.denials), "orders that risk denied")
    columns = ("Time (UTC)", "Instrument", "Side", "#Quantity", "Code", "~Reason")
    return Section("Denials", (Table(caption, columns, rows, [each.proposal_id for each in shown]),))
