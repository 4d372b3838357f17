"""`finagent backtest` and `finagent check lookahead`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.definition import overrides_of
from infra.cli.options import Config, Json, Kafka, Prefix, settings_of
from infra.cli.output import as_json, say, table
from infra.cli.tested import Asked, fill_of, gathered, opened
from orchestrator.artifacts import write
from orchestrator.backtest import Backtest, run_backtest
from orchestrator.lookahead import Finding, check_lookahead
from orchestrator.republish import prefix_of
from orchestrator.settings import Settings
from streams.errors import DataError

check = typer.Typer(help="Check a strategy.", no_args_is_help=True)
File = Annotated[str, typer.Argument(help="Strategy file (YAML), or module:attr.")]
Source = Annotated[str, typer.Option(help="sample, a .csv or .parquet file, synthetic:SEED, or topic (with --kafka).")]
Start = Annotated[str, typer.Option(help="First session or time, ISO.")]
End = Annotated[str, typer.Option(help="Last session (included), ISO.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the strategy; repeatable.")
]
Fill = Annotated[str, typer.Option(help="next_open, next_close, next_tick or same_close.")]


def backtest(
    file: File,
    source: Source = "sample",
    start: Start = "",
    end: End = "",
    fill: Fill = "next_open",
    capital: Annotated[float | None, typer.Option(help="Cash at the start.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for result.json, equity, orders and fills.")] = None,
    replayed: Annotated[str, typer.Option(help="With --source topic: the run_id of a replay to read.")] = "",
    changes: Set = None,
    config: Config = None,
    kafka: Kafka = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Replay history through the pools that trade live, in one process."""
    asked = Asked(
        file,
        source,
        start,
        end,
        fill_of(fill),
        initial_cash=_positive(capital),
        prefix=prefix_of(replayed),
        changes=overrides_of(changes or ()),
    )
    done = asyncio.run(_backtest(asked, settings_of(config, kafka, None, prefix)))
    if out is not None:
        for path in write(done, out):
            if not json:
                say(f"wrote {path}")
    if json:
        as_json(done.result())
    else:
        _show(done)


@check.command()
def lookahead(
    file: File,
    source: Source = "sample",
    start: Start = "",
    end: End = "",
    cuts: Annotated[int, typer.Option(help="Points at which the future is taken away.", min=1)] = 5,
    changes: Set = None,
    config: Config = None,
    kafka: Kafka = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Cut the future off, and change it: decisions up to then must stay the same."""
    asked = Asked(file, source, start, end, changes=overrides_of(changes or ()))
    findings = asyncio.run(_lookahead(asked, settings_of(config, kafka, None, prefix), cuts))
    if json:
        as_json({"lookahead": bool(findings), "findings": [finding.__dict__ for finding in findings]})
    elif not findings:
        say(f"no look-ahead found at {cuts} cuts: decisions depend on the past alone")
    for finding in findings if not json else ():
        say(str(finding))
    if findings:
        raise DataError(f"{file} decides on data from the future, in {len(findings)} of {2 * cuts} trials")


async def _backtest(asked: Asked, settings: Settings) -> Backtest:
    async with opened(asked, settings) as tested:
        return await run_backtest(tested.plan, tested.slices, tested.pools())


async def _lookahead(asked: Asked, settings: Settings, cuts: int) -> list[Finding]:
    async with opened(asked, settings) as tested:
        return check_lookahead(tested.plan, await gathered(tested.slices), lambda _: tested.pools(), cuts=cuts)


def _positive(capital: float | None) -> float | None:
    if capital is not None and capital <= 0:
        raise typer.BadParameter(f"capital must be positive, got {capital}")
    return capital


def _show(done: Backtest) -> None:
    manifest = done.manifest()
    say(f"{manifest['source']} ({manifest['data']}), fill rule {manifest['fill']}")
    say(f"{done.rows:,} rows in {done.slices:,} slices")
    say(f"orders {len(done.orders)}, fills {len(done.fills)}, denials {len(done.denials)}")
    figures = done.metrics()
    rows = [(name, "-" if value is None else f"{value:,.4f}") for name, value in figures.items()]
    table("Performance", ("metric", "value"), rows)
