"""State that a newer release saved: an older one stops, where going on would lose what it does not know."""

from __future__ import annotations

import pytest

from schemas import StateSaved
from streams.errors import UnreadableState
from streams.memory_broker import MemoryBroker
from streams.record import Record
from streams.topics import changelog
from tests.unit.streams.task_pool import (
    POOL,
    SERDE,
    SIGNALS,
    broker,
    committed,
    letters,
    reasons,
    run_through,
    signals,
)


async def saved(log: MemoryBroker, state: str) -> None:
    value = SERDE.encode(StateSaved(pool=POOL, key="Count:acc", state=state))
    await log.publish([Record(changelog(POOL), "Count:acc", value, partition=0)])


async def test_a_state_with_more_in_it_stops_the_task_and_skips_nothing() -> None:
    log = await broker()
    await saved(log, '{"total": 7, "reserved": 3}')
    await log.publish(signals([1.0]))
    with pytest.raises(
        UnreadableState, match=r"counter.changelog\[0\] Count:acc: this release cannot read reserved: a newer"
    ):
        await run_through(log)
    assert letters(log, "signals") == []
    assert committed(log, SIGNALS) == 0
    await saved(log, '{"total": 7}')
    await run_through(log)
    assert reasons(log) == ["8"]


async def test_a_state_with_less_in_it_is_completed_by_its_defaults() -> None:
    log = await broker()
    await saved(log, "{}")
    await log.publish(signals([1.0]))
    await run_through(log)
    assert reasons(log) == ["1"]
