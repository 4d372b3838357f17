"""`finagent backtest` and `finagent check lookahead`."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.definition import overrides_of
from infra.cli.options import Config, Json, Kafka, Prefix, settings_of
from infra.cli.output import as_json, say, table
from infra.cli.tested import Asked, fill_of, gathered, opened
from infra.report import report as page_of
from infra.report.picture import picture
from orchestrator.artifacts import write
from orchestrator.backtest import Backtest, run_backtest
from orchestrator.lookahead import Finding, check_lookahead
from orchestrator.republish import prefix_of
from orchestrator.settings import Settings
from orchestrator.study import Study, study
from streams.errors import DataError

check = typer.Typer(help="Check a strategy.", no_args_is_help=True)
File = Annotated[str, typer.Argument(help="Strategy file (YAML), or module:attr.")]
Source = Annotated[str, typer.Option(help="sample, a .csv or .parquet file, synthetic:SEED, or topic (with --kafka).")]
Start = Annotated[str, typer.Option(help="First session or time, ISO.")]
End = Annotated[str, typer.Option(help="Last session (included), ISO.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the strategy; repeatable.")
]
Policy = Annotated[str, typer.Option(help="File of the policy that decides for a strategy of the RL pool.")]
Fill = Annotated[str, typer.Option(help="next_open, next_close, next_tick or same_close.")]


def backtest(
    file: File,
    source: Source = "sample",
    start: Start = "",
    end: End = "",
    fill: Fill = "next_open",
    capital: Annotated[float | None, typer.Option(help="Cash at the start.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for result.json, equity, orders and fills.")] = None,
    report: Annotated[Path | None, typer.Option(help="HTML file: benchmarks, costs, risk, every decision.")] = None,
    png: Annotated[Path | None, typer.Option(help="Picture of equity and drawdown against the benchmarks.")] = None,
    replayed: Annotated[str, typer.Option(help="With --source topic: the run_id of a replay to read.")] = "",
    account: Annotated[str, typer.Option(help="With --source topic: obey the halts that this account had.")] = "",
    policy: Policy = "",
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
        initial_cash=positive(capital),
        prefix=prefix_of(replayed),
        changes=overrides_of(changes or ()),
        account=account,
        policy=policy,
    )
    settings = settings_of(config, kafka, None, prefix)
    if report is None and png is None:
        done, paths = asyncio.run(_backtest(asked, settings)), []
    else:
        options = {
            "--capital": capital,
            "--replayed": replayed,
            "--account": account,
            "--policy": policy,
            "--config": config,
            "--kafka": kafka,
            "--prefix": prefix,
        }
        studied = asyncio.run(_study(asked, settings, _command(asked, options, changes or ())))
        done, paths = studied.comparison.own, _shown(studied, report, png)
    if out is not None:
        paths += write(done, out)
    for path in paths if not json else ():
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
    policy: Policy = "",
    changes: Set = None,
    config: Config = None,
    kafka: Kafka = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Cut the future off, and change it: decisions up to then must stay the same."""
    asked = Asked(file, source, start, end, changes=overrides_of(changes or ()), policy=policy)
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


async def _study(asked: Asked, settings: Settings, command: str) -> Study:
    async with opened(asked, settings) as tested:
        return await study(tested.plan, tested.again, tested.pools, command=command)


def _shown(studied: Study, report: Path | None, png: Path | None) -> list[Path]:
    paths = []
    for path in (report, png):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            paths.append(path)
    if report is not None:
        report.write_text(page_of(studied.title, [studied]))
    if png is not None:
        picture(studied, png)
    return paths


def _command(asked: Asked, options: Mapping[str, object], changes: Sequence[str]) -> str:
    """Return the command line that makes the report again."""
    given = {"--source": asked.source, "--start": asked.start, "--end": asked.end, "--fill": asked.fill, **options}
    words = [word for name, value in given.items() if value for word in (name, str(value))]
    sets = [word for change in changes for word in ("--set", change)]
    return shlex.join(["finagent", "backtest", asked.file, *words, *sets, "--report", "report.html"])


async def _lookahead(asked: Asked, settings: Settings, cuts: int) -> list[Finding]:
    async with opened(asked, settings) as tested:
        return check_lookahead(tested.plan, await gathered(tested.slices), lambda _: tested.pools(), cuts=cuts)


def positive(capital: float | None) -> float | None:
    """Return the cash that was asked for; refuse an amount that is not positive."""
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
