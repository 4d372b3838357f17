"""What commands print: tables on a terminal, aligned text when piped, JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def as_json(data: Any) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(data, indent=2, default=str) + "\n")


def say(text: str) -> None:
    """Print a line as it is, at once also into a file or pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their columns."""
    texts = [[figure(value) for value in row] for row in rows]
    console = Console()
    if not console.is_terminal:
        _plain(title, columns, texts)
        return
    shown = Table(title=escape(title), title_justify="left")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in texts:
        shown.add_row(*map(escape, row))
    console.print(shown)


def figure(value: object) -> str:
    """Return a value as people read it: numbers grouped, None as a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or value.is_integer():
        return f"{value:,.0f}"
    return f"{value:,.6g}" if abs(value) < 1000 else f"{value:,.2f}"


def _plain(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    say(title)
    for row in (columns, *rows):
        say("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
