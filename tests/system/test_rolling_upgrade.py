"""This release and the next at work together, in both orders and back, each change by kill -9."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.processes import Processes, processes
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings, load
from orchestrator.wiring import BUILT_IN
from schemas import Message
from streams.broker import Broker
from streams.reading import read_whole
from streams.record import Event, TopicPartition
from streams.serde import CONFLUENT, SINGLE_OBJECT
from streams.tail import tail
from streams.topics import DEAD_LETTER_SUFFIX
from tests.system.cluster import DECISIONS, half_year, on, rotation, run
from tests.system.releases import environment_of, next_release, this_release

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(600)]
GROWN = (
    "SliceClosed",
    "Signal",
    "OrderProposed",
    "SubmitOrder",
    "OrderFilled",
    "PositionsUpdated",
    "StateSaved",
    "RunStep",
)
SLICES = 40
READY_S = 180
STEP_S = 120
WRITERS_FIRST = (("alpha", "data"), ("portfolio", "orchestrator"), ("risk", "execution"))
READERS_FIRST = tuple(reversed(WRITERS_FIRST))
BACK = ("portfolio", "execution")


@dataclass
class Releases:
    """Processes of two releases, one of them for each name, and a client of this release."""

    this: Processes
    next: Processes
    client: FinAgentOrchestrator

    def start(self, name: str, release: Processes) -> None:
        release.start(name, ["orchestrator"] if name == "orchestrator" else ["pool", name])

    def change(self, names: Sequence[str], release: Processes) -> None:
        """Kill processes with SIGKILL, and start them again from the other release."""
        for name in names:
            for each in (self.this, self.next):
                if name in each.running:
                    each.kill(name)
            self.start(name, release)

    async def ready(self) -> None:
        async with asyncio.timeout(READY_S):
            while (await self.client.get_health_status())["status"] != "healthy":
                self.this.check()
                self.next.check()
                await asyncio.sleep(0.1)


@asynccontextmanager
async def releases(settings: Settings, folder: Path) -> AsyncIterator[Releases]:
    """Run every pool and the orchestrator from this release."""
    old, new = this_release(folder / "this-release"), next_release(folder / "next-release", GROWN)
    common = {
        "FINAGENT_KAFKA__BOOTSTRAP": settings.kafka.bootstrap,
        "FINAGENT_KAFKA__PREFIX": settings.kafka.prefix,
        "FINAGENT_REDIS__URL": settings.redis.url,
        "FINAGENT_SCHEMA_REGISTRY__URL": settings.schema_registry.url,
        "FINAGENT_LOG_LEVEL": "WARNING",
    }
    client = FinAgentOrchestrator(settings=settings)
    await client.initialize()
    try:
        with (
            processes(folder / "this", common | environment_of(old)) as this,
            processes(folder / "next", common | environment_of(new)) as following,
        ):
            running = Releases(this, following, client)
            for name in ("orchestrator", *BUILT_IN):
                running.start(name, this)
            await running.ready()
            yield running
            this.check()
            following.check()
            await client.shutdown()
    finally:
        await client.shutdown()


def decided(events: Sequence[Event]) -> dict[str, Message]:
    """Return what was decided, by message id, as this release reads it."""
    return {f"{event.record.topic} {event.envelope.message_id}": event.message for event in events}


async def reference() -> dict[str, Message]:
    """Return the decisions of the embedded run."""
    client = FinAgentOrchestrator(settings=load(overrides={"log_level": "WARNING"}, environ={}))
    await client.initialize()
    try:
        return decided(await run(client, half_year()[:SLICES]))
    finally:
        await client.shutdown()


async def upgraded(
    settings: Settings, folder: Path, order: Sequence[Sequence[str]]
) -> tuple[list[Event], dict[str, set[bytes]]]:
    """Trade while two processes after the others are upgraded, and two go back; return decisions, frames by message."""
    async with releases(settings, folder) as system:
        events = await traded(system, [*((names, system.next) for names in order), (BACK, system.this)])
        assert await dead_letters(system.client.broker) == {}
        return events, await frames(system.client)


async def traded(system: Releases, steps: Sequence[tuple[Sequence[str], Processes]]) -> list[Event]:
    """Trade all slices; change processes after each part, while some of its slices are done and others are not."""
    client = system.client
    feed = await client.feed()
    async with tail(client.broker, client.serde, DECISIONS) as followed:
        await client.start_strategy(rotation(), initial_cash=100_000, check_history=False, run_id="rotation")
        slices = half_year()[:SLICES]
        size = len(slices) // (len(steps) + 1)
        for step in steps:
            await feed.publish(slices[: size // 2])
            done = feed.state.last_slice
            await feed.publish(slices[size // 2 : size])
            slices = slices[size:]
            await followed.slice_done(done, client.partitions, STEP_S)
            system.change(*step)
        await feed.publish(slices)
        await followed.slice_done(feed.state.last_slice, client.partitions, STEP_S)
    return followed.events


async def dead_letters(broker: Broker) -> Mapping[TopicPartition, int]:
    """Return what stands in dead letters."""
    counts = await broker.topics()
    places = [TopicPartition(n, p) for n, c in counts.items() if n.endswith(DEAD_LETTER_SUFFIX) for p in range(c)]
    return {place: end for place, end in (await broker.ends(places)).items() if end}


async def frames(client: FinAgentOrchestrator) -> dict[str, set[bytes]]:
    """Return the frames that records on the log have, by message: what they were written with."""
    counts = await client.broker.topics()
    names = ("signals", "targets", "orders", "fills", "positions", "portfolio.changelog")
    places = [TopicPartition(name, partition) for name in names for partition in range(counts[name])]
    found: dict[str, set[bytes]] = {}
    async for record in read_whole(client.broker, places):
        if record.value:
            frame = record.value[: 10 if record.value[:2] == SINGLE_OBJECT else 5]
            found.setdefault(type(client.serde.decode(record.value)).__name__, set()).add(frame)
    return found


@pytest.mark.parametrize(
    ("order", "with_registry"),
    [(WRITERS_FIRST, False), (READERS_FIRST, True)],
    ids=["writers first by the topic schemas", "readers first by a registry"],
)
async def test_two_releases_together_decide_what_one_decides(
    order: Sequence[Sequence[str]],
    with_registry: bool,
    kafka_bootstrap: str,
    redis_url: str,
    prefix: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    expected = await reference()
    settings = on(kafka_bootstrap, redis_url, prefix)
    if with_registry:
        url = request.getfixturevalue("schema_registry")
        registry = settings.schema_registry.model_copy(update={"url": url})
        settings = settings.model_copy(update={"schema_registry": registry})
    events, found = await upgraded(settings, tmp_path, order)
    assert len(events) == len(decided(events)), "a decision stands on the log twice"
    assert decided(events) == expected
    mark = CONFLUENT if with_registry else SINGLE_OBJECT
    assert all(frame.startswith(mark) for of_message in found.values() for frame in of_message)
    written_by_both = {name for name, of_message in found.items() if len(of_message) == 2}
    assert written_by_both >= {"SliceClosed", "PositionsUpdated", "OrderFilled", "StateSaved"}
