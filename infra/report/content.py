"""What a page is made of: parts of sections of blocks, each of which writes its own HTML and escapes what it is given.

Names of places in the page are the page's own; all else is text from outside and is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

from orchestrator.chain import Link

Chains = Mapping[str, Sequence[Link]]
Tone = Literal["", "gain", "loss"]
Row = Sequence["Cell | str"]


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: Literal["", "note", "lead"] = ""

    def html(self, name: str) -> str:
        """Return the paragraph."""
        return f'<p class="{self.kind}">{escape(self.text)}</p>' if self.kind else f"<p>{escape(self.text)}</p>"


@dataclass(frozen=True)
class Fact:
    """A headline figure."""

    label: str
    shown: str
    note: str = ""
    exact: float | None = None
    """The figure itself, for machines."""
    key: str = ""
    """Its name in the run's result."""
    tone: Tone = ""

    def html(self) -> str:
        """Return the figure as an entry of a description list."""
        data = f' data-figure="{escape(self.key)}" data-value="{self.exact!r}"' if self.key else ""
        tone = f' class="{self.tone}"' if self.tone else ""
        note = f'<dd class="note">{escape(self.note)}</dd>' if self.note else ""
        return f"<div><dt>{escape(self.label)}</dt><dd{tone}{data}>{escape(self.shown)}</dd>{note}</div>"


@dataclass(frozen=True)
class Facts:
    """Headline figures side by side."""

    facts: Sequence[Fact]
    kind: Literal["cards", "pairs"] = "cards"

    def html(self, name: str) -> str:
        """Return a description list."""
        return f'<dl class="{self.kind}">{"".join(fact.html() for fact in self.facts)}</dl>'


@dataclass(frozen=True)
class Figure:
    """A chart: a plotly figure whose colours may name the page's palette, as in "@blue"."""

    spec: Mapping[str, Any]
    """data and layout."""
    label: str
    """What it shows, in words, for those who do not see it."""
    height: int = 320
    log_scale: bool = False
    """Offers a logarithmic first y axis."""

    def html(self, name: str) -> str:
        """Return the place that the chart is drawn in."""
        button = (
            f'<button type="button" class="scale" data-log="{name}" aria-pressed="false">Log scale</button>'
            if self.log_scale
            else ""
        )
        place = f'<div class="chart" id="{name}" role="img" aria-label="{escape(self.label)}"'
        return f'{button}{place} style="height:{self.height}px"></div>'


@dataclass(frozen=True)
class Cell:
    """A table's cell."""

    text: str
    heat: float | None = None
    """-1 to 1: how strongly it is coloured as a loss or a gain."""
    tone: Tone = ""
    span: tuple[float, float, float, float] | None = None
    """Drawn as a bar: from, to, a mark within and where 0 lies, each as a share of the cell's width."""

    def html(self, kind: str) -> str:
        """Return the cell of a column of that kind."""
        if self.span:
            low, high, mark, zero = (f"{each:.2%}" for each in self.span)
            style = f"--low:{low};--high:{high};--mark:{mark};--zero:{zero}"
            return f'<td class="span"><div style="{style}"><i></i></div></td>'
        kinds = [kind] if kind else []
        style = ""
        if self.heat:
            kinds.append("heat-gain" if self.heat > 0 else "heat-loss")
            style = f' style="--heat:{min(abs(self.heat), 1):.2f}"'
        if self.tone:
            kinds.append(self.tone)
        marked = f' class="{" ".join(kinds)}"' if kinds else ""
        return f"<td{marked}{style}>{escape(self.text)}</td>"


@dataclass(frozen=True)
class Table:
    """Rows under their columns; one whose title begins with # is of numbers, with ~ of text that wraps."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Row]
    chains: Sequence[str] = ()
    """For each row the id whose decision chain it opens."""
    heading: bool = False
    """The first cell of a row names it."""
    folded: bool = False
    """Shown on demand."""

    def html(self, name: str) -> str:
        """Return the table in a box that scrolls by itself."""
        titles = [*([""] if self.chains else []), *self.columns]
        head = "".join(_title(title) for title in titles)
        body = "".join(self._row(at, row, f"{name}-{at}") for at, row in enumerate(self.rows))
        table = f'<table aria-labelledby="{name}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        box = f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{name}">{table}</div>'
        caption = f'<span id="{name}">{escape(self.caption)}</span>'
        if self.folded:
            return f"<details><summary>{caption}</summary>{box}</details>"
        return f'<p class="note">{caption}</p>{box}'

    def _row(self, at: int, row: Row, name: str) -> str:
        cells = []
        for position, (title, each) in enumerate(zip(self.columns, row, strict=True)):
            cell = each if isinstance(each, Cell) else Cell(each)
            if self.heading and position == 0:
                cells.append(f'<th scope="row">{escape(cell.text)}</th>')
            else:
                cells.append(cell.html(_kind(title)))
        return f"<tr>{self._opener(at, row, name)}{''.join(cells)}</tr>"

    def _opener(self, at: int, row: Row, name: str) -> str:
        if not self.chains:
            return ""
        about = " ".join(each.text if isinstance(each, Cell) else each for each in row[:3])
        return (
            f'<td><button type="button" class="open" id="{name}" data-chain="{escape(self.chains[at])}" '
            f'aria-expanded="false" aria-label="Why: {escape(about)}"></button></td>'
        )


@dataclass(frozen=True)
class Code:
    """Text to copy, or to read as it is."""

    text: str
    summary: str = ""
    """Where given, shown on demand under this title."""

    def html(self, name: str) -> str:
        """Return the text in a box that scrolls by itself."""
        box = f'<pre tabindex="0"><code>{escape(self.text)}</code></pre>'
        return f"<details><summary>{escape(self.summary)}</summary>{box}</details>" if self.summary else box


Block = Text | Facts | Figure | Table | Code


@dataclass(frozen=True)
class Section:
    """A titled group of blocks."""

    title: str
    blocks: Sequence[Block]
    half: bool = False
    """Takes half the width where there is room."""

    def html(self, name: str, level: int) -> str:
        """Return the section; its blocks are named after it."""
        blocks = "".join(block.html(f"{name}-{at}") for at, block in enumerate(self.blocks))
        width = ' class="half"' if self.half else ""
        title = f'<h{level} id="{name}-title">{escape(self.title)}</h{level}>'
        return f'<section{width} aria-labelledby="{name}-title">{title}{blocks}</section>'

    def figures(self, name: str) -> Iterator[tuple[str, Figure]]:
        """Yield the charts by the id of their place."""
        for at, block in enumerate(self.blocks):
            if isinstance(block, Figure):
                yield f"{name}-{at}", block


@dataclass(frozen=True)
class Part:
    """A page's chapter, such as one run; several of them are shown one at a time."""

    title: str
    sections: Sequence[Section]
    intro: Sequence[Block] = ()
    """Stands before the first section."""
    heading: str = ""
    """Where it should say more than the title, which names the tab."""
    badge: str = ""
    """A word beside the heading, such as REAL DATA."""
    chains: Chains = field(default_factory=dict)
    """Decision chains that tables open, by id."""


def _kind(title: str) -> str:
    return {"#": "n", "~": "wide"}.get(title[:1], "")


def _title(title: str) -> str:
    if not title:
        return '<th scope="col"><span class="hidden">Why</span></th>'
    kind = _kind(title)
    marked = f' class="{kind}"' if kind else ""
    return f'<th scope="col"{marked}>{escape(title[1:] if kind else title)}</th>'


def packed(chains: Iterable[Chains]) -> dict[str, Any]:
    """Return chains as JSON in which each link stands once: a run's command is part of all of them."""
    places: dict[tuple[Any, ...], int] = {}
    of: dict[str, list[list[Any]]] = {}
    for each in chains:
        for name, links in each.items():
            of[name] = [[places.setdefault(_said(link), len(places)), link.depth, link.role] for link in links]
    return {"links": [list(said) for said in places], "of": of}


def _said(link: Link) -> tuple[Any, ...]:
    place = f"{link.topic}[{link.partition}]@{link.offset}" if link.offset >= 0 else ""
    # Nanoseconds are beyond what JSON numbers keep in a browser.
    return (link.says, link.message_id, place, str(link.ts) if link.ts > 0 else "")
