"""`finagent serve`: the REST API and the dashboard."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.exits import USAGE, report
from infra.cli.options import Config, Kafka, Prefix, Redis, settings_of
from infra.cli.orchestrator import Mode
from infra.cli.output import say
from infra.cli.stopping import until_stopped
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.layers import merged
from orchestrator.settings import Settings
from streams.errors import ConfigError

if TYPE_CHECKING:
    from infra.server.feed import FeedPlan


def serve(
    host: Annotated[str | None, typer.Option(help="Address; one that is not loopback needs FINAGENT_API_KEY.")] = None,
    port: Annotated[int | None, typer.Option(help="0: any free one.", min=0, max=65535)] = None,
    feed: Annotated[
        str,
        typer.Option(
            metavar="PROVIDER|FILE|synthetic:SEED", help="Publish this market data too, as `finagent feed` reads it."
        ),
    ] = "",
    symbols: Annotated[str, typer.Option(help="Of the feed, comma-separated; default: all.")] = "",
    start: Annotated[str, typer.Option(help="Its first date; for trades a time too.")] = "",
    end: Annotated[str, typer.Option(help="Its last date, included; for trades a time too, not included.")] = "",
    rows: Annotated[int, typer.Option(help="Generated trades of each symbol.", min=1)] = 10_000,
    pace: Annotated[float, typer.Option(help="Slices a second; 0: as fast as it goes.", min=0)] = 5.0,
    delay: Annotated[float, typer.Option(help="Seconds before it begins.", min=0)] = 0.0,
    wait_for_strategy: Annotated[
        bool, typer.Option("--wait-for-strategy", help="Begin when the first run is on the data plane.")
    ] = False,
    mode: Mode = None,
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    prefix: Prefix = None,
) -> None:
    """Serve the REST API and the dashboard until SIGTERM, Ctrl-C or POST /shutdown; without Kafka, the whole system."""
    from infra.server.auth import KEY_VARIABLE, check_exposure

    settings = _listening(settings_of(config, kafka, redis, prefix, mode=mode), host, port)
    try:
        check_exposure(settings.orchestrator.host, os.environ.get(KEY_VARIABLE, ""))
    except ConfigError as error:
        report(error)
        raise typer.Exit(USAGE) from error
    plan = _plan(feed, symbols, start, end, rows, pace, delay, wait_for_strategy) if feed else None
    until_stopped(lambda stop: _serve(settings, plan, stop))


def _listening(settings: Settings, host: str | None, port: int | None) -> Settings:
    asked = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    return Settings.from_dict(merged(settings.model_dump(), {"orchestrator": asked}))


def _plan(
    source: str,
    symbols: str,
    start: str,
    end: str,
    rows: int,
    pace: float,
    delay_s: float,
    wait_for_strategy: bool,
) -> FeedPlan:
    from agents.data.reference import Reference
    from infra.cli.feed_source import SYNTHETIC, Wanted, open_source
    from infra.cli.feed_times import window_length
    from infra.cli.feeding import Pace
    from infra.server.feed import FeedPlan

    named = tuple(filter(None, (symbol.strip() for symbol in symbols.split(","))))
    reference = Reference("SIM" if source.startswith(SYNTHETIC) else "XXXX", "USD", 0.01, 1.0)
    wanted = Wanted(named, start, end, "", window_length("1s"), "", rows, reference)
    return FeedPlan(open_source(source, wanted), Pace(None, slices_per_s=pace or None), delay_s, wait_for_strategy)


async def _serve(settings: Settings, plan: FeedPlan | None, stop: asyncio.Event) -> None:
    from infra.server.serving import serve as serve_app

    def ready(url: str) -> None:
        say(f"FinAgent answers at {url} (dashboard {url}/, routes {url}/docs); Ctrl-C stops it")

    await serve_app(FinAgentOrchestrator(settings=settings), feed=plan, stop=stop, ready=ready)
