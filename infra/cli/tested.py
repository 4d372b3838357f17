"""What `finagent backtest` and `finagent check lookahead` run: a strategy file over a source of market data."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from agents.data.feed import Row
from agents.data.reference import Reference
from agents.data.requirements import check_required
from agents.execution.venue import FillAt
from agents.pool import AgentPool
from infra.cli.connection import connected, speaking
from infra.cli.feed_source import Wanted, open_source
from infra.cli.feed_times import end_ns, start_ns
from infra.cli.options import need_kafka
from orchestrator.backtest import BacktestPlan, Slices, following
from orchestrator.market_log import instruments_of_log, slices_of_log
from orchestrator.policies import check_serves
from orchestrator.settings import Settings
from orchestrator.strategy import RL, alpha_pool_of, model_parameters
from orchestrator.strategy_file import LoadedStrategy, load_strategy
from orchestrator.wiring import pools_of_plan
from rl.parameters import parse_parameters
from rl.publishing import publication
from rl.serving import ServedPolicy
from schemas import Bar, Instrument, PolicyPublished, TickBlock
from streams.errors import ConfigError, UnknownSymbol

TOPIC = "topic"


@dataclass(frozen=True)
class Asked:
    """What the command line asked for."""

    file: str
    """A strategy file, or module:attr."""
    source: str
    """sample, a path, synthetic:SEED, or topic."""
    start: str = ""
    """ISO date or time; empty: the first row."""
    end: str = ""
    """ISO date, which is included, or time, which is not; empty: the last row."""
    fill: FillAt = "next_open"
    window_ns: int = 1_000_000_000
    """Length of a slice of trades."""
    initial_cash: float | None = None
    prefix: str = ""
    """Before the source topics' names, such as bt.<run_id>."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the strategy that replace the file's."""
    account: str = ""
    """An account of the log whose recorded kill switch the strategy obeys."""
    policy: str = ""
    """The file of the policy that decides for a strategy of the RL pool."""


@dataclass(frozen=True)
class Tested:
    """A plan, its data and how its pools are made."""

    plan: BacktestPlan
    slices: Slices
    loaded: LoadedStrategy
    again: Callable[[], Slices]
    """The same slices from the beginning, each time."""

    def pools(self, plan: BacktestPlan | None = None) -> list[AgentPool]:
        """Return fresh pools for the plan, or for one that differs from it."""
        plan = plan or self.plan
        own = [self.loaded.pool] if self.loaded.pool else []
        return [*pools_of_plan(plan), *own]


def fill_of(name: str) -> FillAt:
    """Return a fill rule by name; raise ConfigError that lists them."""
    for known in get_args(FillAt):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise ConfigError(f"Unknown fill rule {name!r}, expected one of {', '.join(get_args(FillAt))}")


@asynccontextmanager
async def opened(asked: Asked, settings: Settings) -> AsyncIterator[Tested]:
    """Open the source and make the plan."""
    loaded = load_strategy(asked.file, asked.changes)
    if asked.source != TOPIC:
        if asked.account:
            raise ConfigError(f"--account needs --source topic: kill switches stand on the log, not in {asked.source}")
        wanted = Wanted(
            tuple(loaded.strategy.symbols), asked.start, asked.end, "", asked.window_ns, "", 10_000, Reference()
        )
        source = open_source(asked.source, wanted)
        plan = plan_of_asked(loaded, settings, asked, source.instruments, source.name)

        def reopened() -> Slices:
            return checked_slices(following(open_source(asked.source, wanted).slices), loaded, asked.fill)

        yield Tested(plan, checked_slices(following(source.slices), loaded, asked.fill), loaded, reopened)
        return
    need_kafka(settings)
    async with connected(settings) as broker:
        broker, serde = await speaking(settings, broker, ())
        known = await instruments_of_log(broker, serde)
        instruments = tuple(_resolve(symbol, known) for symbol in loaded.strategy.symbols)
        bounds = (start_ns(asked.start) if asked.start else None, end_ns(asked.end) if asked.end else None)
        name = f"topics {asked.prefix}ticks, {asked.prefix}bars"
        name += f", kill switch of {asked.account}" if asked.account else ""
        plan = plan_of_asked(loaded, settings, asked, instruments, name)

        def read() -> Slices:
            slices = slices_of_log(broker, serde, *bounds, prefix=asked.prefix, account=asked.account)
            return checked_slices(slices, loaded, asked.fill)

        yield Tested(plan, read(), loaded, read)


def plan_of_asked(
    loaded: LoadedStrategy,
    settings: Settings,
    asked: Asked,
    instruments: Sequence[Instrument],
    source: str,
) -> BacktestPlan:
    """Return the plan of what was asked for, over these instruments."""
    cash = asked.initial_cash or loaded.run.initial_cash or settings.sandbox.initial_capital
    return BacktestPlan(
        strategy=loaded.strategy,
        instruments=tuple(instruments),
        settings=settings,
        source=source,
        initial_cash=cash,
        fill=asked.fill,
        alpha_pool=loaded.pool.name if loaded.pool else alpha_pool_of(loaded.strategy.parameters),
        policies=_policies(loaded, asked.policy),
    )


def _policies(loaded: LoadedStrategy, path: str) -> tuple[PolicyPublished, ...]:
    """Return the policy of a file, under the name by which the strategy asks for it."""
    parameters = loaded.strategy.parameters
    if loaded.pool or alpha_pool_of(parameters) != RL:
        if path:
            raise ConfigError(f"--policy {path}: the strategy is not decided by a policy; its strategy_type is not rl")
        return ()
    asked = parse_parameters(model_parameters(parameters))
    if not path:
        raise ConfigError(f"the strategy is decided by policy {asked.policy_id!r}: name its file with --policy")
    made = publication(Path(path).read_bytes(), asked.policy_id, asked.version or 1, 0, asked.sha256)
    check_serves(ServedPolicy.read(made.weights), loaded.strategy.symbols, parameters)
    return (made,)


def _resolve(symbol: str, known: Sequence[Instrument]) -> Instrument:
    for instrument in known:
        if symbol in (instrument.symbol, instrument.instrument_id):
            return instrument
    names = ", ".join(instrument.instrument_id for instrument in known) or "none"
    raise UnknownSymbol(f"Unknown symbol {symbol!r}: the topic `instruments` has {names}")


async def checked_slices(slices: Slices, loaded: LoadedStrategy, fill: FillAt) -> AsyncIterator[Sequence[Row]]:
    """Refuse data that lacks what the strategy requires, or that the fill rule never fills on."""
    begun = False
    async for rows in slices:
        if rows and not begun:
            check_required(loaded.required_data, {name for row in rows for name in _columns(row)})
            if fill == "next_tick" and not any(isinstance(row, TickBlock) for row in rows):
                raise ConfigError(
                    "fill rule next_tick needs ticks and the source has bars; take next_open or next_close"
                )
            begun = True
        yield rows


def _columns(row: Row) -> tuple[str, ...]:
    if isinstance(row, Bar):
        return ("open", "high", "low", "close", *(("volume",) if row.volume else ()))
    return ("price", "size") if isinstance(row, TickBlock) else ()


async def gathered(slices: Slices) -> list[Sequence[Row]]:
    """Return all slices at once: the look-ahead check replays them several times."""
    return [rows async for rows in slices]
