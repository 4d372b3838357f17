"""Records and logs for the tests of the memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from agents.memory.agent import MemoryAgent
from agents.memory.entry import Entry, entry_of
from agents.memory.keys import OFFSETS
from agents.memory.limits import MemoryLimits
from agents.memory.writing import offsets_of
from orchestrator.remembering import memory_agent
from schemas import Message, OrderFilled, PositionsUpdated, Signal
from streams.broker import Broker
from streams.clock import ManualClock
from streams.ids import derive_id
from streams.memory_broker import MemoryBroker
from streams.record import Envelope, Received, Record
from streams.store import Store
from streams.topics import topic_of
from tests.dataplane import SERDE, START

DAY = 86_400 * 10**9
PLACES = ("partition", "offset", "refused_at")


def signal(day: int = 0, **changed: Any) -> Signal:
    fields: dict[str, Any] = {
        "run_id": "run",
        "strategy_id": "strategy",
        "account_id": "account",
        "instrument_id": "AAPL.XNAS",
        "signal": "BUY",
        "score": 0.1,
        "confidence": 0.5,
        "price": 10.0,
        "model": "momentum",
        "ts_event": START + day * DAY,
    }
    return Signal(**{**fields, **changed})


def filled(day: int = 0, **changed: Any) -> OrderFilled:
    fields: dict[str, Any] = {
        "run_id": "run",
        "strategy_id": "strategy",
        "account_id": "account",
        "instrument_id": "AAPL.XNAS",
        "side": "BUY",
        "quantity": 5.0,
        "order_id": "order",
        "fill_id": "fill",
        "price": 10.0,
        "reference_price": 10.0,
        "commission": 0.05,
        "spread_cost": 0.0,
        "impact_cost": 0.0,
        "cumulative_quantity": 5.0,
        "leaves_quantity": 0.0,
        "currency": "USD",
        "multiplier": 1.0,
        "data_id": "row",
        "synthetic": True,
        "ts_event": START + day * DAY,
    }
    return OrderFilled(**{**fields, **changed})


def positions(day: int = 0, equity: float = 100.0) -> PositionsUpdated:
    return PositionsUpdated(
        account_id="account",
        currency="USD",
        cash=equity,
        equity=equity,
        deposits=equity,
        realised_pnl=0.0,
        unrealised_pnl=0.0,
        commission=0.0,
        fills=0,
        positions=(),
        ts_event=START + day * DAY,
    )


def sent(
    message: Message,
    name: str,
    recorded: int = START,
    *,
    cause: str = "cause",
    correlation: str = "run",
    topic: str | None = None,
) -> Record:
    """Return a message under an id that a short name gives."""
    envelope = Envelope(derive_id(name, "test"), type(message).__name__, "test", recorded, correlation, cause)
    key = getattr(message, "instrument_id", None) or getattr(message, "account_id", name)
    return Record(topic or topic_of(type(message)).name, key, SERDE.encode(message), envelope.headers(), None)


def received(record: Record, partition: int = 0, offset: int = 0) -> Received:
    return Received(record.topic, partition, offset, record.key, record.value, record.headers, record.timestamp_ms)


def entry(record: Record, partition: int = 0, offset: int = 0) -> Entry:
    found = entry_of(received(record, partition, offset), SERDE, lambda message: f"a {type(message).__name__}")
    assert found is not None
    return found


@asynccontextmanager
async def remembered(
    broker: Broker, store: Store, clock: ManualClock | None = None, **limits: Any
) -> AsyncIterator[MemoryAgent]:
    """Run an agent for the length of the block."""
    agent = memory_agent(MemoryLimits(**limits), broker, store, clock or ManualClock(START))
    agent.lease_s = 0.6
    stop = asyncio.Event()
    running = asyncio.create_task(agent.run(stop))
    try:
        yield agent
    finally:
        stop.set()
        await running


async def caught_up(broker: Broker, store: Store, agent: MemoryAgent) -> None:
    """Wait until the store has all that the log has now."""
    ends = await broker.ends(await agent.places())

    async def reached() -> bool:
        known = offsets_of(await store.get(OFFSETS)) or {}
        return all(known.get(place, 0) == end for place, end in ends.items())

    await until(reached)


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 30) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(timeout_s):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.01)


async def in_state(agent: MemoryAgent, state: str) -> None:
    """Wait until an agent is in a state."""

    async def reached() -> bool:
        return agent.state == state

    await until(reached)


async def project(broker: Broker, store: Store, clock: ManualClock | None = None, **limits: Any) -> MemoryAgent:
    """Bring a store up to the end of a log and leave it."""
    async with remembered(broker, store, clock, **limits) as agent:
        await caught_up(broker, store, agent)
    return agent


async def log_of(records: Sequence[Record], partitions: int = 1) -> MemoryBroker:
    """Return a broker with all topics and these records."""
    from streams.host import create_topology

    broker = MemoryBroker()
    families = dict.fromkeys(("account", "instrument", "workflow"), partitions)
    await create_topology(broker, families, ())
    await broker.publish(records)
    return broker
