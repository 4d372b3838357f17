"""`finagent report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.output import say
from infra.report import sandbox_report
from streams.errors import InvalidData


def draw(
    result: Annotated[Path, typer.Argument(help="What `finagent sandbox ... --json` or `--out` wrote.", exists=True)],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
) -> None:
    """Draw a sandbox result as one HTML file: stress test, A/B test, Monte Carlo, live simulation or backtest."""
    try:
        found = json.loads(result.read_text())
    except ValueError as error:
        raise InvalidData(f"{result} is no JSON: {error}") from None
    html = sandbox_report(found)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(html)
    say(f"wrote {out}")
