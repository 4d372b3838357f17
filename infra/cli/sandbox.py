"""`finagent sandbox`: stress tests, A/B tests, Monte Carlo and live simulation of strategy files."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from agents.data.reference import Reference
from infra.cli.backtest import File, Fill, Set, Source, Start, positive
from infra.cli.definition import overrides_of
from infra.cli.feed_source import SYNTHETIC, Wanted, open_source
from infra.cli.options import Config, Json, settings_of
from infra.cli.output import as_json
from infra.cli.sandbox_shown import show_ab, show_live, show_monte_carlo, show_stress
from infra.cli.tested import TOPIC, Asked, fill_of, gathered, opened
from orchestrator.sandbox.ab_test import run_ab
from orchestrator.sandbox.environment import check_enabled
from orchestrator.sandbox.live import run_live
from orchestrator.sandbox.monte_carlo import run_monte_carlo
from orchestrator.sandbox.options import AbOptions, LiveOptions, MonteCarloOptions, Options, StressOptions
from orchestrator.sandbox.shocks import SHOCKS, shock_of
from orchestrator.sandbox.stress import Closes, closes_of, run_stress
from orchestrator.sandbox.trial import Rows, Trial
from orchestrator.settings import Settings
from orchestrator.wording import problems
from streams.errors import ConfigError

sandbox = typer.Typer(help="Stress, compare, resample and simulate a strategy.", no_args_is_help=True)
P = TypeVar("P", bound=Options)
End = Annotated[str, typer.Option(help="Last session (included), ISO.")]
Capital = Annotated[float | None, typer.Option(help="Cash at the start.")]
Seed = Annotated[int, typer.Option(help="Of the random numbers.", min=0)]
Block = Annotated[float | None, typer.Option(help="Mean block of the bootstrap; default: chosen from the data.", min=1)]


@dataclass(frozen=True)
class Loaded:
    """Strategies, and the slices that they run on."""

    trials: tuple[Trial, ...]
    slices: Rows


@sandbox.command()
def stress(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="[SCENARIO]... STRATEGY", help=f"{', '.join(SHOCKS)}; none: all. Then a strategy file."),
    ],
    severity: Annotated[list[float] | None, typer.Option(help="Share of the stated size; repeatable.")] = None,
    benchmark: Annotated[str, typer.Option(help="Symbol for betas; default: the mean of the symbols.")] = "",
    shock_date: Annotated[str, typer.Option(help="Session of the first bar; default: the middle one.")] = "",
    rate_sensitivity: Annotated[float | None, typer.Option(help="Fall in % for each point of rates.")] = None,
    source: Source = "sample",
    start: Start = "",
    end: End = "",
    fill: Fill = "next_open",
    capital: Capital = None,
    changes: Set = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Run a strategy on shocked data, beside its baseline and buy-and-hold."""
    *names, file = arguments
    if not names and file in SHOCKS:
        raise ConfigError(f"name a strategy file after the scenario {file!r}")
    for name in names:
        shock_of(name)
    asked = _asked(file, source, start, end, fill, capital, changes)
    given = {
        "stress_scenarios": names,
        "severity_levels": severity,
        "benchmark": benchmark,
        "shock_date": shock_date,
        "rate_sensitivity": rate_sensitivity,
    }
    options, settings = _options(StressOptions, given), _settings(config)
    loaded = _loaded(settings, asked)
    market = _market(asked, options.benchmark) if options.benchmark else None
    result = run_stress(loaded.trials, loaded.slices, options, market)
    as_json(result) if json else show_stress(result)


@sandbox.command()
def ab(
    a: Annotated[str, typer.Argument(help="Strategy file (YAML), or module:attr: arm A.")],
    b: Annotated[str, typer.Argument(help="Arm B; may be the same file, with --set-b.")],
    seed: Seed = 0,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples.")] = 2000,
    confidence: Annotated[float, typer.Option(help="Level of the interval.")] = 0.95,
    mean_block: Block = None,
    source: Source = "sample",
    start: Start = "",
    end: End = "",
    fill: Fill = "next_open",
    capital: Capital = None,
    changes: Set = None,
    changes_b: Annotated[
        list[str] | None, typer.Option("--set-b", metavar="KEY=VALUE", help="A parameter of arm B alone; repeatable.")
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Compare two strategies on the same data, paired by day."""
    arm_a = _asked(a, source, start, end, fill, capital, changes)
    arm_b = _asked(b, source, start, end, fill, capital, [*(changes or ()), *(changes_b or ())])
    given = {"seed": seed, "resamples": resamples, "confidence": confidence, "mean_block": mean_block}
    options = _options(AbOptions, given)
    loaded = _loaded(_settings(config), arm_a, arm_b)
    one, other = loaded.trials
    if changes_b:
        other = replace(other, name=f"{other.name} with {', '.join(changes_b)}")
    result = run_ab(one, other, loaded.slices, options)
    as_json(result) if json else show_ab(result)


@sandbox.command("monte-carlo")
def monte_carlo(
    file: File,
    paths: Annotated[int, typer.Option(help="Resampled paths.")] = 200,
    seed: Seed = 0,
    mean_block: Block = None,
    workers: Annotated[int, typer.Option(help="Processes; the figures do not depend on it.")] = 1,
    source: Source = "sample",
    start: Start = "",
    end: End = "",
    fill: Fill = "next_open",
    capital: Capital = None,
    changes: Set = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Run a strategy on paths resampled from history."""
    asked = _asked(file, source, start, end, fill, capital, changes)
    given = {"paths": paths, "seed": seed, "mean_block": mean_block, "workers": workers}
    options = _options(MonteCarloOptions, given)
    loaded = _loaded(_settings(config), asked)
    result = run_monte_carlo(loaded.trials[0], loaded.slices, options)
    as_json(result) if json else show_monte_carlo(result)


@sandbox.command()
def live(
    file: File,
    pace: Annotated[float, typer.Option(help="Slices per second; 0: as fast as it goes.")] = 0.0,
    source: Source = "sample",
    start: Start = "",
    end: End = "",
    capital: Capital = None,
    changes: Set = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Trade history, paced, through the live path: feed, broker, orchestrator and all pools, in this process."""
    if source.startswith(SYNTHETIC) or source == TOPIC:
        raise ConfigError(f"the orchestrator resolves symbols with a provider: take sample or a file, got {source!r}")
    asked = _asked(file, source, start, end, "next_open", capital, changes)
    options, settings = _options(LiveOptions, {"pace": pace}), _settings(config)
    data = settings.data.model_copy(update={"providers": (source,)})
    loaded = _loaded(settings.model_copy(update={"data": data}), asked)
    result = asyncio.run(run_live(loaded.trials[0], loaded.slices, options))
    as_json(result) if json else show_live(result)


def _asked(
    file: str, source: str, start: str, end: str, fill: str, capital: float | None, changes: list[str] | None
) -> Asked:
    return Asked(
        file, source, start, end, fill_of(fill), initial_cash=positive(capital), changes=overrides_of(changes or ())
    )


def _market(asked: Asked, symbol: str) -> tuple[str, Closes]:
    if asked.source == TOPIC:
        raise ConfigError("--benchmark is read from a provider or a file, not from topics")
    wanted = Wanted((symbol,), asked.start, asked.end, "", asked.window_ns, "", 1, Reference())
    return symbol, closes_of(list(open_source(asked.source, wanted).slices))


def _settings(config: Path | None) -> Settings:
    settings = settings_of(config)
    check_enabled(settings)
    return settings


def _options(kind: type[P], given: Mapping[str, Any]) -> P:
    """Return the options that were given, over the defaults."""
    try:
        return kind.model_validate({key: value for key, value in given.items() if value not in (None, "", [])})
    except ValidationError as error:
        raise ConfigError(problems(error)) from error


def _loaded(settings: Settings, *asked: Asked) -> Loaded:
    """Return the strategies, and the first one's data; raise ConfigError where they trade other instruments."""
    return asyncio.run(_opened(settings, asked))


async def _opened(settings: Settings, asked: tuple[Asked, ...]) -> Loaded:
    trials: list[Trial] = []
    slices: Rows = []
    for each in asked:
        async with opened(each, settings) as tested:
            if not trials:
                slices = await gathered(tested.slices)
            own = each.file if tested.loaded.pool else ""
            trials.append(Trial(tested.plan.strategy.strategy_id, tested.plan, own, each.changes))
    if len({trial.plan.instruments for trial in trials}) > 1:
        listed = " and ".join(", ".join(trial.plan.strategy.symbols) for trial in trials)
        raise ConfigError(f"the strategies must trade the same symbols, got {listed}: give --set symbols=[...]")
    return Loaded(tuple(trials), slices)
