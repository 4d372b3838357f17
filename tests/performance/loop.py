"""Events per second through the task loop, and slices per second through the whole data plane."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from agents.data.feed import Feed
from agents.data.fetch import FetchParameters, fetch
from agents.data.slicing import bar_slices
from agents.data.sources import SampleProvider
from agents.pool import AgentPool
from orchestrator.client import Client
from orchestrator.settings import load
from orchestrator.strategy import TradingStrategy
from orchestrator.wiring import all_kinds, context_of, kinds_of, partitions_of, pools_of
from schemas import OrderProposed, Signal, StartStrategy
from streams.broker import Broker
from streams.clock import WallClock
from streams.host import Host, create_topology
from streams.ids import derive_id
from streams.record import Envelope, Record
from streams.serde import Serde
from streams.state import State
from streams.tail import tail
from streams.task import Task

EVENTS = 60_000
PARTITIONS = {"account": 1, "instrument": 1, "workflow": 1, "single": 1}


class Seen(State):
    """Counts signals."""

    signals: int = 0


def echo_pool() -> AgentPool:
    """Return a pool that counts each signal and answers it with a proposal."""
    pool = AgentPool("echo")

    @pool.on
    def propose(signal: Signal, seen: Seen) -> OrderProposed:
        seen.signals += 1
        return OrderProposed(
            run_id=signal.run_id,
            strategy_id=signal.strategy_id,
            account_id=signal.account_id,
            instrument_id=signal.instrument_id,
            side="BUY",
            quantity=10.0,
            proposal_id=f"{signal.account_id}-{seen.signals}",
            signal_id=signal.run_id,
            reference_price=signal.price,
            ts_event=signal.ts_event,
        )

    return pool


def made_signal(number: int) -> Signal:
    """Return a signal."""
    return Signal(
        run_id=f"run-{number}",
        strategy_id="strategy",
        account_id=f"account-{number % 10}",
        instrument_id="AAPL.XNAS",
        signal="BUY",
        score=0.03,
        confidence=0.5,
        price=100.0,
        model="bench",
        ts_event=1_600_000_000_000_000_000 + number,
    )


async def run(broker: Broker) -> dict[str, Any]:
    """Consume, decode, handle with state, encode and commit in transactions, event by event."""
    serde, clock, pool = Serde(), WallClock(), echo_pool()
    await create_topology(broker, PARTITIONS, kinds_of(pool))
    records = []
    for number in range(EVENTS):
        event = made_signal(number)
        envelope = Envelope(derive_id(str(number), "bench"), "Signal", "bench", clock.now(), "run", "bench")
        records.append(Record("signals", event.account_id, serde.encode(event), envelope.headers()))
    await broker.publish(records)
    commits: list[tuple[float, int]] = []
    host = Host(broker, kinds_of(pool), PARTITIONS, clock, serde, on_commit=lambda task: _note(task, commits, host))
    await host.run()
    # From the first commit to the last: joining the group and restoring state are not the loop's speed.
    (began, before), (ended, after) = commits[0], commits[-1]
    return {"events": after - before, "commits": len(commits), "wall_s": round(ended - began, 3),
            "events_per_s": round((after - before) / (ended - began))}  # fmt: skip


def _note(task: Task, commits: list[tuple[float, int]], host: Host) -> None:
    handled = task.meta.handled.get("signals", 0)
    if handled:
        commits.append((time.perf_counter(), handled))
    if handled >= EVENTS:
        host.stop.set()
        task.stop.set()


async def data_plane(broker: Broker) -> dict[str, Any]:
    """A momentum strategy over the sample's daily bars through all pools, all in this process."""
    settings = load(overrides={"log_level": "WARNING"}, environ={})
    serde, clock, partitions = Serde(), WallClock(), partitions_of(settings)
    kinds = all_kinds(pools_of(settings), context_of(settings))
    await create_topology(broker, partitions, kinds)
    host = Host(broker, kinds, partitions, clock, serde)
    running = asyncio.create_task(host.run())
    strategy = TradingStrategy("bench", "bench", symbols=["AAPL", "IBM", "MSFT"], parameters={"position_size": 0.3})
    command = StartStrategy(
        workflow_id="bench", ts_event=clock.now(), strategy=strategy.to_spec(), end="2011-12-30", initial_cash=1e6
    )
    async with Client.open(broker, serde, clock) as client:
        await client.submit(command)
        await client.until(lambda: "bench" in client.runs, "the run to start")
    fetched = fetch(
        SampleProvider(), FetchParameters(symbols=("AAPL", "IBM", "MSFT"), start="2012-01-03", end="2012-12-31")
    )
    slices = list(bar_slices([bar for block in fetched.blocks for bar in block.bars()]))
    async with (
        tail(broker, serde, ["fills"]) as followed,
        Feed.open(broker, partitions, clock, serde) as feed,
    ):
        began = time.perf_counter()
        await feed.publish(slices)
        await followed.slice_done(feed.state.last_slice, partitions, 120)
        wall = time.perf_counter() - began
    host.stop.set()
    await running
    return {"slices": len(slices), "bars": sum(map(len, slices)), "wall_s": round(wall, 3),
            "slices_per_s": round(len(slices) / wall, 1)}  # fmt: skip
