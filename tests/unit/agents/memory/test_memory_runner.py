"""The memory agent on a log and a store in this process: what it writes, when it begins again, who may write."""

from __future__ import annotations

import logging
import random

import pytest

from agents.memory.availability import UNAVAILABLE
from agents.memory.digest import digest
from agents.memory.keys import OFFSETS, OWNER, event_key, reference_key, run_key, topic_key
from agents.memory.reader import Memory
from orchestrator.remembering import check, rebuild
from schemas import KillSwitchChanged, StrategyStopped
from streams.clock import ManualClock
from streams.errors import StoreError
from streams.ids import derive_id
from streams.memory_broker import MemoryBroker
from streams.record import Record, TopicPartition
from streams.serde import Serde
from streams.store import Changes, Expected, MemoryStore
from tests.dataplane import START, instrument, started
from tests.unit.agents.memory.memory_log import (
    DAY,
    caught_up,
    filled,
    in_state,
    log_of,
    positions,
    project,
    remembered,
    sent,
    signal,
    until,
)

SECOND = 10**9


def story() -> list[Record]:
    """Return a run with signals, fills and positions over some days, its end, a copy and a record that is broken."""
    records = [sent(started("run", [instrument("AAPL"), instrument("IBM", "XNYS")], account_id="account"), "run")]
    for day in range(20):
        now = START + day * SECOND
        records += [
            sent(signal(day, score=day / 100), f"s{day}", now + 1, cause=f"row{day}"),
            sent(signal(day, instrument_id="IBM.XNYS"), f"i{day}", now + 2, cause=f"row{day}"),
            sent(filled(day, order_id=f"order{day}"), f"f{day}", now + 3, cause=f"order{day}"),
            sent(positions(day, equity=100.0 + day), f"p{day}", now + 4, correlation="account"),
        ]
    switch = KillSwitchChanged(account_id="account", active=True, reason="loss", ts_event=START + DAY)
    stopped = StrategyStopped(run_id="run", reason="enough", ts_event=START + 20 * DAY)
    end = START + 30 * SECOND
    broken = Record("signals", "key", b"junk", timestamp_ms=end // 1_000_000)
    return [*records, sent(switch, "k", end), sent(stopped, "x", end), sent(signal(0), "s0", end), broken]


async def test_the_latest_state_of_a_run_is_kept() -> None:
    store = MemoryStore()
    await project(await log_of(story()), store)
    latest = await Memory(store).latest("run")
    assert latest["status"] == "stopped"
    assert latest["stopped"]["reason"] == "enough"
    assert latest["strategy_id"] == "s-run"
    assert latest["definition"]["initial_cash"] == 100_000.0
    assert latest["account"]["equity"] == 119.0
    assert latest["kill_switch"]["active"] is True
    assert latest["signals"]["AAPL.XNAS"]["score"] == 0.1, "the copy of the first signal was recorded last"
    assert latest["counts"] == {"Signal": 41, "OrderFilled": 20}


async def test_every_way_of_reading_gives_the_same_content() -> None:
    """One partition or three, in any cut, read at once or while it is written: one digest."""
    found = set()
    for partitions in (1, 3):
        store = MemoryStore()
        await project(await log_of(story(), partitions), store, max_events=9)
        found.add(await digest(store))
    store, log = MemoryStore(), await log_of([], 3)
    async with remembered(log, store, max_events=9) as agent:
        for record in story():
            await log.publish([record])
            if random.Random(record.key).random() < 0.3:
                await caught_up(log, store, agent)
        await caught_up(log, store, agent)
    found.add(await digest(store))
    assert len(found) == 1


async def test_another_log_gives_another_digest() -> None:
    digests = []
    for records in (story(), story()[:-1], [*story()[:1], *story()[2:]]):
        store = MemoryStore()
        await project(await log_of(records), store)
        digests.append(await digest(store))
    assert len(set(digests)) == 3


async def test_caps_and_age_leave_no_reference_behind() -> None:
    store, clock, log = MemoryStore(), ManualClock(START + 30 * SECOND), await log_of(story())
    async with remembered(log, store, clock, max_events=3, ttl_s=100.0) as agent:
        await caught_up(log, store, agent)
        assert len(await store.members(topic_key("fills"))) == 3
        assert await store.get(event_key(derive_id("f16", "test"))) is None
        assert len(await store.members(reference_key("order17"))) == 1
        assert await store.members(reference_key("order16")) == []
        clock.advance_to(START + 200 * SECOND)

        async def forgotten() -> bool:
            return not await store.scan("memory:event:")

        await until(forgotten)
        assert await store.scan("memory:ref:") == await store.scan("memory:topic:") == []
        assert await store.get(run_key("run")) is not None, "the latest state of a run does not age"


class Failing(MemoryStore):
    """A store that fails after some writes, before or after the write has been done."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 10**9
        self.after = False

    async def apply(self, changes: Changes, expected: Expected | None = None) -> None:
        self.left -= 1
        if self.left < 0:
            if self.after:
                await super().apply(changes, expected)
            raise StoreError("Redis went away")
        await super().apply(changes, expected)


@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after the write"])
async def test_a_store_that_fails_at_any_write_loses_and_doubles_nothing(
    after: bool, caplog: pytest.LogCaptureFixture
) -> None:
    undisturbed = MemoryStore()
    await project(await log_of(story()), undisturbed, max_events=9)
    store, log = Failing(), await log_of([])
    store.after = after
    async with remembered(log, store, max_events=9) as agent:
        for number, record in enumerate(story()):
            store.left = number % 17
            await log.publish([record])
            if store.left == 0:
                await in_state(agent, "unavailable")
            store.left = 10**9
            await caught_up(log, store, agent)
    assert await digest(store) == await digest(undisturbed)
    said = [r for r in caplog.records if r.name == "FinAgentOrchestrator" and r.levelno == logging.WARNING]
    assert {each.getMessage() for each in said} == {UNAVAILABLE}


async def test_a_store_that_lost_its_content_is_filled_again() -> None:
    store, log = MemoryStore(), await log_of(story())
    async with remembered(log, store) as agent:
        await caught_up(log, store, agent)
        known = await digest(store)
        await store.apply(Changes(delete=await store.scan("")))
        await caught_up(log, store, agent)
        assert await digest(store) == known
        # Without its offsets what is there cannot be trusted.
        await store.apply(Changes(delete=[OFFSETS], put={event_key("stray"): b"{}"}))
        await caught_up(log, store, agent)
        assert await digest(store) == known


async def test_a_store_that_goes_back_in_time_under_the_agent_is_caught_up_with() -> None:
    """As a Redis that is restored from an older file, its lease still valid: the next write must notice."""
    store, log = MemoryStore(), await log_of(story()[:30])
    async with remembered(log, store, max_events=9) as agent:
        await caught_up(log, store, agent)
        older = {key: list(each) if isinstance(each, list) else each for key, each in store._values.items()}
        await log.publish(story()[30:60])
        await caught_up(log, store, agent)
        store._values = older
        await log.publish(story()[60:])
        await caught_up(log, store, agent)
    expected = MemoryStore()
    await project(await log_of(story()), expected, max_events=9)
    assert await digest(store) == await digest(expected)


async def test_content_of_another_log_is_dropped() -> None:
    store = MemoryStore()
    await project(await log_of(story()), store)
    await project(await log_of(story()[:5]), store)
    expected = MemoryStore()
    await project(await log_of(story()[:5]), expected)
    assert await digest(store) == await digest(expected)


async def test_a_second_agent_stands_by_and_takes_over() -> None:
    store, log = MemoryStore(), await log_of(story()[:30])
    async with remembered(log, store) as first:
        await caught_up(log, store, first)
        async with remembered(log, store) as standby:
            await in_state(standby, "standby")
            assert await standby.behind() == {}
            # The first one stops renewing, as a paused process does, and another one takes the lease.
            await store.apply(Changes(delete=[OWNER]))
            assert await store.lease(OWNER, standby._holder, 60)
            await log.publish(story()[30:])
            await caught_up(log, store, standby)
            assert first.state != "active" or first.handled == 30
    expected = MemoryStore()
    await project(await log_of(story()), expected)
    assert await digest(store) == await digest(expected)


async def test_a_rebuild_gives_the_same_and_a_check_sees_what_is_wrong() -> None:
    store, log, clock = MemoryStore(), await log_of(story()), ManualClock(START)
    agent = await project(log, store, clock, max_events=9)
    known = await digest(store)
    assert await check(agent.limits, log, store, clock, Serde()) == (known, known)
    await store.apply(Changes(put={event_key("stray"): b"{}"}, remove={topic_key("fills"): [b"x"]}))
    found, expected = await check(agent.limits, log, store, clock, Serde())
    assert (found != known, expected == known) == (True, True)
    await rebuild(agent.limits, log, store, clock, Serde())
    assert await digest(store) == known


async def test_a_rebuild_is_done_by_the_agent_that_runs() -> None:
    store, log, clock = MemoryStore(), await log_of(story()), ManualClock(START)
    async with remembered(log, store, clock) as agent:
        await caught_up(log, store, agent)
        known = await digest(store)
        await rebuild(agent.limits, log, store, clock, Serde())
        assert await digest(store) == known
        assert agent.handled == 2 * len(story())


async def test_lag_tells_what_is_not_in_memory_yet() -> None:
    store, log = MemoryStore(), await log_of(story())
    async with remembered(log, store) as agent:
        await caught_up(log, store, agent)
        assert set((await agent.behind()).values()) == {0}
        assert (await agent.behind()).keys() >= {"fills:0", "signals.dlq:0", "strategies:0"}
        assert not any("changelog" in place for place in await agent.behind())


async def test_topics_that_are_no_events_are_left_out() -> None:
    log = await log_of([])
    log._logs["alpha.changelog"] = [[]]
    assert isinstance(log, MemoryBroker)
    async with remembered(log, MemoryStore()) as agent:
        places = await agent.places()
    assert TopicPartition("alpha.changelog", 0) not in places
    assert {TopicPartition("ticks", 0), TopicPartition("ticks.dlq", 0), TopicPartition("results", 0)} <= set(places)
