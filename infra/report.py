"""A run's result as one self-contained HTML file: no script, no network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from infra.demo import Act, DemoResult
from schemas import OrderDenied, OrderFilled
from streams.record import rfc3339

_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0;width:100%}th,td{text-align:left;padding:.25rem .6rem;
border-bottom:1px solid #8884}td.n{text-align:right;font-variant-numeric:tabular-nums}svg{width:100%;height:auto}
.line{fill:none;stroke:#2f7dd1;stroke-width:1.5}.axis{stroke:#8886}text{fill:currentColor;font-size:12px}
.note{color:#888}div.scroll{overflow-x:auto}
"""
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 900, 280, 80, 30


def html(result: DemoResult) -> str:
    """Return the report of a demo."""
    acts = (("Act one: real daily bars", result.daily), ("Act two: synthetic ticks", result.intraday))
    sections = "".join(_act(title, act) for title, act in acts)
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>FinAgent demo</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
    )
    intro = f"<h1>FinAgent demo</h1><p>Broker: {escape(result.broker)}. Seed {result.plan.seed}.</p>"
    return f"{head}{intro}{sections}</body></html>\n"


def _act(title: str, act: Act) -> str:
    kind = "synthetic" if act.synthetic else "real"
    source = (
        f'<p class="note">Data: {escape(act.source)} ({kind}), {act.rows:,} rows. Strategy: {act.run.strategy_type}, '
    )
    source += f"parameters {escape(str(act.run.parameters))}.</p>"
    metrics = _table(("Metric", "Value"), [(name, _figure(value)) for name, value in act.metrics().items()])
    counts = _table(("What", "Count"), [(name, f"{count:,}") for name, count in act.counts().items()])
    return f"<h2>{escape(title)}</h2>{source}{_chart(act)}{metrics}{counts}{_denials(act)}{_fills(act)}"


def _chart(act: Act) -> str:
    values = [act.run.initial_cash, *(state.equity for state in act.equity)]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = (_WIDTH - _LEFT) / max(len(values) - 1, 1)
    room = _HEIGHT - _BOTTOM - 10
    points = " ".join(f"{_LEFT + i * step:.1f},{10 + (high - v) / span * room:.1f}" for i, v in enumerate(values))
    first, last = (rfc3339(act.equity[index].ts_event)[:16].replace("T", " ") for index in (0, -1))
    floor = _HEIGHT - _BOTTOM
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Equity over time"><title>Equity</title>'
        f'<line class="axis" x1="{_LEFT}" y1="{floor}" x2="{_WIDTH}" y2="{floor}"/>'
        f'<polyline class="line" points="{points}"/>'
        f'<text x="0" y="18">{high:,.0f}</text><text x="0" y="{floor}">{low:,.0f}</text>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}">{first}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 8}" text-anchor="end">{last} UTC, {act.run.currency}</text></svg>'
    )


def _denials(act: Act) -> str:
    rows = [(rfc3339(d.ts_event)[:10], d.instrument_id, d.side, d.code, d.reason) for d in act.of(OrderDenied)]
    return "<h3>Denials</h3>" + _table(("Day", "Instrument", "Side", "Code", "Reason"), rows) if rows else ""


def _fills(act: Act) -> str:
    fills: list[OrderFilled] = act.of(OrderFilled)
    rows = [
        (rfc3339(f.ts_event)[:19].replace("T", " "), f.instrument_id, f.side, f"{f.quantity:,.0f}", f"{f.price:,.4f}",
         f"{f.commission:,.2f}", f.fill_id)
        for f in fills[-50:]
    ]  # fmt: skip
    note = f"<h3>Fills</h3><p class='note'>The last {len(rows)} of {len(fills)}; trace one with its id.</p>"
    return note + _table(("Time (UTC)", "Instrument", "Side", "Quantity", "Price", "Commission", "Fill id"), rows)


def _table(titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _figure(value: float | None) -> str:
    return "undefined on this sample" if value is None else f"{value:,.4f}"
