"""`finagent sweep`: many backtests of one strategy, on this machine or through Kafka."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from infra.cli.backtest import End, Fill, Source, Start
from infra.cli.connection import connected, speaking
from infra.cli.options import Config, Json, Kafka, Prefix, settings_of
from infra.cli.output import as_json, say, table
from infra.cli.tested import fill_of
from infra.sweep.heat_map import check_heat_map, write_heat_map
from infra.sweep.on_kafka import run_through
from infra.sweep.plan import SweepPlan
from infra.sweep.processes import Result, run_here
from orchestrator.settings import Settings
from orchestrator.strategy_file import document_of
from orchestrator.sweep.space import combinations, parse_grid, sampled
from orchestrator.sweep.table import FIGURES, Sweep
from orchestrator.sweep.walk_forward import Lengths, WalkForward, check_metric, choose
from orchestrator.wiring import partitions_of
from schemas import RunBacktest
from streams.clock import WallClock
from streams.errors import ConfigError
from streams.host import create_topology
from streams.topics import BACKTESTS

SHOWN = 10


def sweep(
    file: Annotated[str, typer.Argument(help="Strategy file (YAML), or module:attr.")],
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", metavar="NAME=VALUES", help="1,2,3 or FIRST:LAST:STEP; repeatable, all are combined."),
    ] = None,
    random: Annotated[int | None, typer.Option(help="Try so many combinations, drawn from the seed.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of --random.", min=0)] = 0,
    metric: Annotated[str, typer.Option(help="What the best is chosen by.")] = "sharpe_ratio",
    walk_forward: Annotated[
        str, typer.Option(metavar="train=N,test=N[,step=N][,anchored]", help="Choose and trade in turn; N sessions.")
    ] = "",
    workers: Annotated[
        int | None, typer.Option(help="Processes on this machine; default: one a core. Not with --kafka.", min=1)
    ] = None,
    source: Source = "sample",
    start: Start = "",
    end: End = "",
    fill: Fill = "next_open",
    capital: Annotated[float | None, typer.Option(help="Cash at the start.", min=0.01)] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for table.csv and sweep.json.")] = None,
    heat_map: Annotated[
        Path | None, typer.Option(help="Picture (.png, .svg) or page (.html) of the metric over two parameters.")
    ] = None,
    config: Config = None,
    kafka: Kafka = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Backtest every combination of parameters; with --kafka on all machines that run `finagent worker`."""
    settings = settings_of(config, kafka, None, prefix)
    values = parse_grid(grid or ())
    changes = combinations(values) if random is None else sampled(values, random, seed)
    plan = SweepPlan(document_of(file), changes, source, start, end, fill_of(fill), capital or 0.0, settings)
    run = _runner(settings, workers)
    if walk_forward and heat_map is not None:
        raise ConfigError("--heat-map is for a sweep over one period, not for --walk-forward")
    if heat_map is not None:
        check_heat_map(changes, heat_map)
    # A folder that cannot be made is told before anything runs.
    for folder in (out, heat_map.parent if heat_map else None):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    if walk_forward:
        _show_walk_forward(_walked(plan, Lengths.parse(walk_forward), metric, run), out, json)
        return
    Sweep(metric, [], [])  # refuses an unknown metric before anything runs
    found = Sweep(metric, changes, run(plan.jobs(_fresh(), WallClock().now())))
    found.data()
    _show_sweep(found, out, json)
    if heat_map is not None:
        write_heat_map(found, heat_map)


Run = Callable[[Sequence[RunBacktest]], list[Result]]


def _runner(settings: Settings, workers: int | None) -> Run:
    def here(jobs: Sequence[RunBacktest]) -> list[Result]:
        with _progress(len(jobs)) as told:
            return run_here(jobs, min(workers or os.cpu_count() or 1, len(jobs)), told)

    def through(jobs: Sequence[RunBacktest]) -> list[Result]:
        with _progress(len(jobs)) as told:
            return asyncio.run(_through(settings, jobs, told))

    if settings.kafka.bootstrap and workers is not None:
        raise ConfigError("--workers is for this machine; with Kafka start `finagent worker` as often as wanted")
    return through if settings.kafka.bootstrap else here


async def _through(settings: Settings, jobs: Sequence[RunBacktest], told: Callable[[], None]) -> list[Result]:
    async with connected(settings) as broker:
        await create_topology(broker, partitions_of(settings), [])
        broker, serde = await speaking(settings, broker, [BACKTESTS.name])
        return await run_through(broker, serde, partitions_of(settings), jobs, told)


def _walked(plan: SweepPlan, lengths: Lengths, metric: str, run: Run) -> WalkForward:
    check_metric(metric)
    found = plan.windows(lengths)
    results, count = run(plan.window_jobs(_fresh(), WallClock().now(), found)), len(plan.changes)
    parts = [results[place * count : (place + 1) * count] for place in range(len(found))]
    chosen = [choose(window, plan.changes, part, metric) for window, part in zip(found, parts, strict=True)]
    # Each window has data of its own; within it all trials must have seen the same.
    seen = [Sweep("sharpe_ratio", plan.changes, part).data() for part in parts]
    source, kind, _ = seen[0]
    return WalkForward(metric, lengths, source, kind, chosen)


def _fresh() -> str:
    return f"sweep-{uuid.uuid4().hex[:12]}"


@contextmanager
def _progress(count: int) -> Iterator[Callable[[], None]]:
    console = Console(stderr=True)
    if not console.is_terminal:
        sys.stderr.write(f"{count:,} backtests\n")
        yield lambda: None
        return
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("backtests", total=count)
        yield lambda: progress.advance(bar)


def _show_sweep(found: Sweep, out: Path | None, json: bool) -> None:
    if out is not None:
        (out / "table.csv").write_text(found.csv())
        (out / "sweep.json").write_text(found.json())
    summary = found.summary()
    if json:
        as_json(summary)
        return
    say(f"{summary['source']} ({summary['data']}), {summary['runs']:,} backtests, {summary['failed']:,} failed")
    names = list(found.changes[0])
    columns = ["number", *names, *dict.fromkeys([found.metric, *FIGURES[:4], "max_drawdown", "final_value"])]
    rows = {row["number"]: row for row in summary["rows"]}
    best = [rows[result.number] for result in found.ranked()[:SHOWN]]
    table(f"Best by {found.metric}", columns, [[row[name] for name in columns] for row in best])
    for failed in found.failed[:SHOWN]:
        say(f"{failed.number} failed: {failed.error}")
    say(_honest(summary))


def _honest(summary: dict[str, Any]) -> str:
    deflated, chance = summary["deflated_sharpe_ratio"], summary["probability_of_overfitting"]
    told = [
        f"that the best by Sharpe ratio has skill, with so many tried: {deflated:.0%}" if deflated is not None else "",
        f"that the choice of the best is overfitted: {chance:.0%}" if chance is not None else "",
    ]
    listed = "; ".join(filter(None, told))
    return f"probability {listed}" if listed else "too few days or different trials to tell skill from luck"


def _show_walk_forward(found: WalkForward, out: Path | None, json: bool) -> None:
    if out is not None:
        (out / "walk_forward.json").write_text(found.json())
    summary = found.summary()
    if json:
        as_json(summary)
        return
    say(f"{summary['source']} ({summary['data']})")
    rows = [[value for name, value in row.items() if name != "train_end"] for row in summary["windows"]]
    columns = [name for name in summary["windows"][0] if name != "train_end"]
    table(f"Chosen by {found.metric} in training", columns, rows)
    table("Out of sample", ("figure", "value"), list(summary["out_of_sample"].items()))
    if summary["efficiency"] is not None:
        say(f"walk-forward efficiency (test over train): {summary['efficiency']:.2f}")
