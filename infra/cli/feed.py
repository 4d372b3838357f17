"""`finagent feed`: market data onto the log."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from agents.data.feed import Feed
from agents.data.intervals import interval_ns
from agents.data.reference import Reference
from infra.cli.connection import connected, make_topics, speaking
from infra.cli.exits import INTERRUPTED
from infra.cli.feed_source import SYNTHETIC, Source, Wanted, open_source
from infra.cli.feed_times import window_length
from infra.cli.feeding import Fed, Pace, publish
from infra.cli.options import Config, Json, Kafka, Prefix, need_kafka, settings_of
from infra.cli.output import as_json, say
from infra.cli.stopping import until_stopped
from orchestrator.settings import Settings
from orchestrator.wiring import partitions_of
from streams.clock import WallClock
from streams.record import rfc3339
from streams.slices import FEED


def feed(
    source: Annotated[
        str,
        typer.Argument(
            metavar="PROVIDER|FILE|synthetic:SEED",
            help="sample; a .csv, .csv.gz or .parquet of bars or of trades (columns price and quantity).",
        ),
    ],
    symbols: Annotated[
        str, typer.Option(help="Comma-separated; default: all. A file without a symbol column needs one.")
    ] = "",
    start: Annotated[str, typer.Option(help="First date; for trades a time too.")] = "",
    end: Annotated[str, typer.Option(help="Last date, included; for trades a time too, not included.")] = "",
    interval: Annotated[str, typer.Option(help="Of bars, such as 1d; default: what the source has.")] = "",
    speed: Annotated[float | None, typer.Option(help="Pace: 1 is real time, 60 a minute a second.", min=1e-6)] = None,
    window: Annotated[str, typer.Option(help="Length of a slice of trades: 100ms, 1s, 1m.")] = "1s",
    bars: Annotated[str, typer.Option(help="Of trades, publish bars of this interval too.")] = "",
    rows: Annotated[int, typer.Option(help="Generated trades of each symbol.", min=1)] = 10_000,
    venue: Annotated[str, typer.Option(help="Market of a file's instruments; default XXXX, SIM if synthetic.")] = "",
    currency: Annotated[str, typer.Option(help="Their currency.")] = "USD",
    tick_size: Annotated[float, typer.Option(help="Their smallest price step.")] = 0.01,
    lot_size: Annotated[float, typer.Option(help="Their smallest quantity step.")] = 1.0,
    config: Config = None,
    kafka: Kafka = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Publish reference data, then market data slice by slice; starts again where the last feed stopped."""
    settings = settings_of(config, kafka, None, prefix)
    need_kafka(settings)
    reference = Reference(venue or _venue(source), currency, tick_size, lot_size)
    named = tuple(filter(None, (symbol.strip() for symbol in symbols.split(","))))
    for length in filter(None, (interval, bars)):
        interval_ns(length)
    found = open_source(source, Wanted(named, start, end, interval, window_length(window), bars, rows, reference))
    _publish(settings, found, speed, json)


def _venue(source: str) -> str:
    return "SIM" if source.startswith(SYNTHETIC) else "XXXX"


def _publish(settings: Settings, source: Source, speed: float | None, json: bool) -> None:
    began = time.perf_counter()
    with _progress(source) as told:
        fed = until_stopped(lambda stop: _fed(settings, source, Pace(speed), stop, told))
    summary = _summary(source, fed, time.perf_counter() - began)
    if json:
        as_json(summary)
    else:
        _show(summary)
    if fed.interrupted:
        raise typer.Exit(INTERRUPTED)


async def _fed(settings: Settings, source: Source, pace: Pace, stop: asyncio.Event, told: Callable[[int], None]) -> Fed:
    async with connected(settings) as broker:
        await make_topics(settings, broker)
        broker, serde = await speaking(settings, broker, None, [FEED])
        async with Feed.open(broker, partitions_of(settings), WallClock(), serde) as feed:
            await feed.reference_data(source.instruments)
            return await publish(feed, source.slices, pace, stop, told)


@contextmanager
def _progress(source: Source) -> Iterator[Callable[[int], None]]:
    console = Console(stderr=True)
    if not console.is_terminal:
        sys.stderr.write(f"publishing {source.rows:,} rows of {source.name}\n")
        yield lambda rows: None
        return
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task(source.name, total=source.rows)
        yield lambda rows: progress.advance(bar, rows)


def _summary(source: Source, fed: Fed, seconds: float) -> dict[str, Any]:
    return {
        "source": source.name,
        "synthetic": source.synthetic,
        "instruments": [each.instrument_id for each in source.instruments],
        "rows": fed.rows,
        "slices": fed.slices,
        "slices_passed_over": fed.passed,
        "first": _time(fed.first),
        "last": _time(fed.last),
        "log_until": _time(fed.until),
        "seconds": round(seconds, 3),
        "interrupted": fed.interrupted,
    }


def _time(ts: int) -> str | None:
    return rfc3339(ts) if ts >= 0 else None


def _show(summary: dict[str, Any]) -> None:
    kind = "synthetic" if summary["synthetic"] else "real"
    say(f"{summary['source']} ({kind}): {', '.join(summary['instruments'])}")
    if summary["slices"]:
        rows = ", ".join(f"{count:,} rows of {name}" for name, count in summary["rows"].items() if count)
        say(f"{rows} in {summary['slices']:,} slices, {summary['first']} to {summary['last']}")
        say(f"{summary['seconds']:g} s")
    if summary["slices_passed_over"]:
        say(f"{summary['slices_passed_over']:,} slices passed over: the log has slices up to {summary['log_until']}")
    if summary["interrupted"]:
        say("interrupted; the same command goes on from here")
