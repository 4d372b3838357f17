"""`finagent evaluate`: train again and again through history, beside rules that learn nothing."""

from __future__ import annotations

import json as encoding
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from infra.cli.options import Json
from infra.cli.output import as_json, say, table

if TYPE_CHECKING:
    from rl.walk_forward import Outcome, Study


def evaluate(
    file: Annotated[Path, typer.Argument(help="Study (YAML): data, rules, reward, algorithms, steps, walk_forward.")],
    workers: Annotated[int | None, typer.Option(help="Processes; default: one a core.", min=1)] = None,
    picture: Annotated[Path | None, typer.Option(help="Picture (.png, .svg) of growth out of sample.")] = None,
    out: Annotated[Path | None, typer.Option(help="File (.json) for all figures.")] = None,
    json: Json = False,
) -> None:
    """Walk forward: train on the past, choose on the years after, judge on those after them; then say who wins."""
    # Here, because only this needs them.
    from infra.training.growth import check_format, write_growth
    from rl.walk_forward import Study, run

    study = Study.load(file)
    if picture is not None:
        check_format(picture)
    for path in (picture, out):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    with _progress(len(study.tasks())) as told:
        outcomes = run(study, workers or os.cpu_count() or 1, told)
    found = summary(study, outcomes)
    if out is not None:
        out.write_text(encoding.dumps(found, indent=1) + "\n")
    if picture is not None:
        write_growth(study, outcomes, picture)
    if json:
        as_json(found)
    else:
        _show(found)


def summary(study: Study, outcomes: list[Outcome]) -> dict[str, Any]:
    """Return all figures of a study, with what they rest on."""
    from rl.walk_forward import compare
    from rl.walk_forward import table as lines

    panel = study.whole.panel
    return {
        "source": panel.source,
        "data": "synthetic" if panel.synthetic else "real",
        "instruments": list(panel.instrument_ids),
        "tested": [[part.test.panel.session_dates[0], part.test.panel.session_dates[-1]] for part in study.splits],
        "seeds": [study.algorithms[0].seed, study.algorithms[0].seed + study.walk_forward.seeds - 1],
        "config_sha256": study.config_hash,
        "study": study.model_dump(mode="json"),
        "lines": [asdict(line) for line in lines(study, outcomes)],
        "comparisons": [asdict(each) | {"verdict": each.verdict} for each in compare(study, outcomes)],
    }


def _show(found: dict[str, Any]) -> None:
    first, last = found["tested"][0][0], found["tested"][-1][1]
    say(f"{found['source']} ({found['data']}), judged on {first} to {last}, {len(found['tested'])} rounds")
    say(f"seeds {found['seeds'][0]} to {found['seeds'][1]}, config {found['config_sha256'][:12]}")
    columns = ("", "cost", "Sharpe", "95 %", "return a year", "drawdown", "turnover a year", "converged")
    table("Out of sample, net of costs", columns, [_line(line) for line in found["lines"]])
    columns = ("", "beside", "cost", "Sharpe", "95 % over seeds", "return a year", "95 % over time", "verdict")
    table("Who wins", columns, [_comparison(each) for each in found["comparisons"]])


def _line(line: dict[str, Any]) -> list[str]:
    converged = line["converged"]
    return [
        line["name"],
        f"{line['bps']:g} bps",
        f"{line['sharpe']:.2f}",
        _interval(line["interval"], "{:.2f}"),
        f"{line['annual_return']:.1%}",
        f"{line['max_drawdown']:.1%}",
        f"{line['turnover']:.1f}",
        "" if converged is None else f"{converged:.0%}",
    ]


def _comparison(each: dict[str, Any]) -> list[str]:
    return [
        each["name"],
        each["baseline"],
        f"{each['bps']:g} bps",
        f"{each['sharpe']:+.2f}",
        _interval(each["over_seeds"], "{:+.2f}"),
        f"{each['excess']:+.1%}",
        _interval(each["over_time"], "{:+.1%}"),
        each["verdict"],
    ]


def _interval(bounds: tuple[float, float] | None, pattern: str) -> str:
    return "" if bounds is None else f"{pattern.format(bounds[0])} to {pattern.format(bounds[1])}"


@contextmanager
def _progress(count: int) -> Iterator[Callable[[Outcome], None]]:
    console = Console(stderr=True)
    if not console.is_terminal:
        sys.stderr.write(f"{count:,} trainings\n")
        yield lambda _: None
        return
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("trainings", total=count)
        yield lambda _: progress.advance(bar)
