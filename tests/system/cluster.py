"""A whole system of separate processes on real Kafka and Redis, and the client that drives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agents.data.fetch import FetchParameters, fetch
from agents.data.slicing import bar_slices
from agents.data.sources import SampleProvider
from infra.processes import Processes, processes
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings, load
from orchestrator.strategy import TradingStrategy
from orchestrator.wiring import BUILT_IN
from schemas import Bar
from streams.record import Event
from streams.tail import tail

SYMBOLS = ("AAPL", "GOOGL", "IBM", "MSFT")
DECISIONS = ("signals", "targets", "risk", "orders", "fills", "positions")
READY_S = 60


@dataclass
class Cluster:
    """Running processes and an initialized client."""

    children: Processes
    client: FinAgentOrchestrator

    def start(self, name: str) -> None:
        """Start the orchestrator, or a pool."""
        self.children.start(name, ["orchestrator"] if name == "orchestrator" else ["pool", name])

    async def ready(self) -> None:
        """Wait until every pool is alive."""
        async with asyncio.timeout(READY_S):
            while (health := await self.client.get_health_status())["status"] != "healthy":
                self.children.check()
                await asyncio.sleep(0.05)
        assert health["reasons"] == []


@asynccontextmanager
async def cluster(
    settings: Settings, folder: Path, leave_out: Sequence[str] = (), **variables: str
) -> AsyncIterator[Cluster]:
    """Start the orchestrator and the pools, those left out excepted; variables: more of their environment."""
    environment = {
        "FINAGENT_KAFKA__BOOTSTRAP": settings.kafka.bootstrap,
        "FINAGENT_KAFKA__PREFIX": settings.kafka.prefix,
        "FINAGENT_KAFKA__PARTITIONS__ACCOUNT": str(settings.kafka.partitions.account),
        "FINAGENT_KAFKA__PARTITIONS__INSTRUMENT": str(settings.kafka.partitions.instrument),
        "FINAGENT_KAFKA__PARTITIONS__WORKFLOW": str(settings.kafka.partitions.workflow),
        "FINAGENT_REDIS__URL": settings.redis.url,
        **variables,
    }
    client = FinAgentOrchestrator(settings=settings)
    await client.initialize()
    try:
        with processes(folder, environment) as children:
            running = Cluster(children, client)
            for name in ("orchestrator", *BUILT_IN):
                if name not in leave_out:
                    running.start(name)
            yield running
            await client.shutdown()
    finally:
        await client.shutdown()


def on(bootstrap: str, redis_url: str, prefix: str, **partitions: int) -> Settings:
    """Return settings for a Kafka, a Redis and a topic prefix."""
    kafka = {"bootstrap": bootstrap, "prefix": prefix, "partitions": partitions}
    return load(overrides={"kafka": kafka, "redis": {"url": redis_url}, "log_level": "WARNING"}, environ={})


def rotation() -> TradingStrategy:
    """Return a strategy that trades often."""
    return TradingStrategy(
        strategy_id="rotation",
        name="Two strongest",
        symbols=list(SYMBOLS),
        lookback_period=5,
        rebalance_frequency="bar",
        parameters={"top": 2, "position_size": 0.45},
    )


def half_year() -> list[list[Bar]]:
    """Return the slices of January to June 2012."""
    fetched = fetch(SampleProvider(), FetchParameters(symbols=SYMBOLS, start="2012-01-03", end="2012-06-29"))
    return list(bar_slices([bar for block in fetched.blocks for bar in block.bars()]))


async def run(
    client: FinAgentOrchestrator, slices: list[list[Bar]], at: dict[int, object] | None = None
) -> list[Event]:
    """Trade the slices; call what stands in `at` after that many of them were published. Return all decisions."""
    feed = await client.feed()
    async with tail(client.broker, client.serde, DECISIONS) as followed:
        await client.start_strategy(rotation(), initial_cash=100_000, check_history=False, run_id="rotation")
        actions = dict(at or {})
        for number, slice_ in enumerate(slices, start=1):
            await feed.publish([slice_])
            if number in actions:
                # In the middle of the work on this slice: some have it, some do not.
                await followed.poll(0.05)
                actions[number]()  # type: ignore[operator]
        await followed.slice_done(feed.state.last_slice, client.partitions, 180)
    return followed.events


def decisions(events: Sequence[Event]) -> dict[str, bytes]:
    """Return what was decided, by message id: the bytes that tell of it."""
    return {f"{event.record.topic} {event.envelope.message_id}": event.record.value or b"" for event in events}


async def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for what another process does."""
    try:
        async with asyncio.timeout(READY_S):
            while not holds():  # noqa: ASYNC110 - another process has no event
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"never came: {what}") from None


def lines(system: Cluster, name: str, *words: str) -> list[str]:
    """Return the lines of a process's log that have all the words."""
    text = system.children.log(name).read_text(errors="replace")
    return [line for line in text.splitlines() if all(word in line for word in words)]
