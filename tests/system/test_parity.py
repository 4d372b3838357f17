"""Separate processes on real Kafka and the one-process replay: the same orders, fills and equity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from agents.data.feed import Row
from agents.data.slicing import slice_ts
from agents.data.synthetic import synthetic_instruments, synthetic_ticks
from agents.data.windows import windows
from orchestrator.replay import Replay
from orchestrator.strategy import TradingStrategy
from orchestrator.wiring import pools_of
from schemas import Bar, OrderFilled, PositionsUpdated, TickBlock
from streams.record import Event, nanoseconds
from streams.serde import Serde
from streams.tail import tail
from tests.system.cluster import DECISIONS, cluster, decisions, half_year, on, rotation

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(240)]
TRADED = ("SIMA", "SIMB")
SHARED = "acct-shared"


def ticks_and_bars() -> list[list[Bar] | list[TickBlock]]:
    """Return three months of daily bars with 100 seconds of ticks between two of the sessions, in time order."""
    blocks = synthetic_ticks(TRADED, 2_000, seed=3, start_ns=nanoseconds("2012-02-15T15:00:00Z"))
    slices: list[list[Bar] | list[TickBlock]] = [*half_year()[:60], *windows(blocks, 5_000_000_000)]
    return sorted(slices, key=slice_ts)


def on_ticks() -> TradingStrategy:
    return TradingStrategy(
        strategy_id="cross",
        name="EMA cross on trades",
        symbols=[f"{symbol}.SIM" for symbol in TRADED],
        rebalance_frequency="bar",
        parameters={"strategy_type": "ema_cross", "fast": 20, "slow": 100, "position_size": 0.2},
    )


async def test_processes_on_kafka_and_the_replay_agree(
    kafka_bootstrap: str, redis_url: str, prefix: str, tmp_path: Path
) -> None:
    settings = on(kafka_bootstrap, redis_url, prefix, account=2, instrument=2)
    slices = ticks_and_bars()
    async with cluster(settings, tmp_path) as system:
        await system.ready()
        feed = await system.client.feed()
        await feed.reference_data(synthetic_instruments(TRADED))
        async with tail(system.client.broker, system.client.serde, DECISIONS) as followed:
            runs = [
                await system.client.start_strategy(
                    strategy, initial_cash=100_000, account_id=SHARED, check_history=False, run_id=name
                )
                for name, strategy in (("daily", rotation()), ("intraday", on_ticks()))
            ]
            await feed.publish(slices)
            await followed.slice_done(feed.state.last_slice, system.client.partitions, 180)
    found: dict[str, bytes] = {}
    serde = Serde()

    def note(topic: str, event: Event) -> None:
        if topic in DECISIONS:
            found[f"{topic} {event.envelope.message_id}"] = serde.encode(event.message)

    replay = Replay(pools_of(settings), runs, note)
    for rows in slices:
        replay.slice(_rows(rows))
    assert found == decisions(followed.events)
    fills = [event.message for event in followed.events if isinstance(event.message, OrderFilled)]
    assert {fill.account_id for fill in fills} == {SHARED}
    assert {fill.run_id for fill in fills} == {"daily", "intraday"}
    assert {fill.synthetic for fill in fills} == {True, False}
    states = [event.message for event in followed.events if isinstance(event.message, PositionsUpdated)]
    assert states[-1].deposits == 200_000


def _rows(rows: list[Bar] | list[TickBlock]) -> Sequence[Row]:
    return rows
