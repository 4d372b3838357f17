"""`finagent chaos`: break a whole system on purpose, and hold what it decided against the undisturbed run."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.exits import FAILED, INTERRUPTED, session
from infra.cli.options import Json
from infra.cli.output import say
from infra.cli.stopping import until_stopped

if TYPE_CHECKING:
    from infra.chaos.folder import Folder
    from infra.chaos.report import Report
    from infra.chaos.run import Asked


def chaos(
    seed: Annotated[int, typer.Option(help="Of the market and of the faults.", min=0)] = 7,
    faults: Annotated[int, typer.Option(help="How many; 0 compares an undisturbed cluster.", min=0)] = 12,
    slices: Annotated[int, typer.Option(help="Of a bar of each instrument.", min=1)] = 150,
    instruments: Annotated[int, typer.Option(help="Synthetic ones, shared out among four strategies.", min=8)] = 20,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Keeps data, logs and report; default: a temporary one.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep a temporary folder also where all is well.")] = False,
    shown: Annotated[
        Path | None, typer.Option("--show", help="Run nothing: print an earlier run's report.json as Markdown.")
    ] = None,
    json: Json = False,
) -> None:
    """Run the system on 3 brokers, kill, pause and cut off its parts, and compare with the undisturbed run.

    Exit code 0 only where the decisions, reports and ledgers are the same, and nothing is lost, doubled or stuck.
    """
    from infra.chaos.folder import Folder
    from infra.chaos.report import Report
    from infra.chaos.run import Asked
    from infra.cli.chaos_shown import markdown, show
    from infra.cli.logs import configure

    if shown is not None:
        say(markdown(Report.model_validate_json(shown.read_text())))
        return
    configure("WARNING", debug=session.debug)
    place = Folder((folder or Path(tempfile.mkdtemp(prefix="finagent-chaos-"))).resolve())
    place.prepare()
    asked = Asked(seed, faults, slices, instruments)
    report = until_stopped(lambda stop: _until(stop, asked, place))
    if report is None:
        raise typer.Exit(INTERRUPTED)
    place.report.write_text(report.model_dump_json(indent=2) + "\n")
    if json:
        say(place.report.read_text().rstrip())
    else:
        show(report)
    if folder is None and report.sound and not keep:
        shutil.rmtree(place.path)
    elif not json:
        say(f"data, logs and report are in {place.path}")
    if not report.sound:
        raise typer.Exit(FAILED)


async def _until(stop: asyncio.Event, asked: Asked, folder: Folder) -> Report | None:
    """Run until the end, or until asked to stop: then everything is stopped, and there is no report."""
    from infra.chaos.run import run

    running = asyncio.create_task(run(asked, folder, _watch()))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if running.done():
        return await running
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return None


def _watch() -> Callable[[str], None]:
    """Return what shows a line that changes in place on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda text: None
    return lambda text: print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
