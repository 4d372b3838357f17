"""Stops and kill switches in the middle of trading: orders end, decisions depend on the log alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from agents.context import Run, Slice
from agents.pool import AgentPool
from agents.risk.account import RiskAccount
from orchestrator.market_log import closed_slices, rows_of
from orchestrator.replay import Replay
from schemas import (
    Bar,
    CancelOrder,
    KillSwitchChanged,
    KillSwitchSet,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    PositionsUpdated,
    StrategyStarted,
    StrategyStopped,
    SubmitOrder,
)
from streams.record import Event
from streams.state import StateTable
from tests.dataplane import ONE, SERDE, START, Plane, bar, built_in, instrument, restless, started

A, B = instrument("A"), instrument("B")
DECISIONS = ("signals", "targets", "risk", "orders", "fills", "positions")
MINUTE = 60 * 10**9


def minute(number: int) -> list[Bar]:
    """Return a minute in which A trades and B does not, so that orders on B rest."""
    times = {"interval": "1m", "ts_open": START + number * MINUTE, "ts_event": START + (number + 1) * MINUTE}
    day = {**times, "session_date": "2012-01-01"}
    return [bar("A.XNAS", 0, 100.0 + number % 4, **day), bar("B.XNAS", 0, 50.0, **day, volume=0.0)]


MINUTES = [minute(number) for number in range(12)]


def run(name: str, account_id: str = "both") -> StrategyStarted:
    parameters = {"rebalance_band": 0.0}
    return started(name, [A, B], account_id=account_id, alpha_pool="restless", parameters=parameters)


def word(active: bool, account_id: str = "both", number: int = 1) -> KillSwitchSet:
    reason = "looks wrong" if active else "looked into"
    name = f"{account_id} {active} {number}"
    return KillSwitchSet(account_id=account_id, active=active, reason=reason, command_id=name, ts_event=START)


def stopped(run_id: str) -> StrategyStopped:
    return StrategyStopped(run_id=run_id, reason="enough", ts_event=START)


def pools() -> list[AgentPool]:
    return [*built_in(), restless()]


async def traded(
    *said: tuple[int, Any], partitions: dict[str, int] = ONE, killed: Sequence[str] | None = None
) -> Plane:
    """Trade the minutes with two runs on one account and one on its own; say things before the minutes named."""
    plane = Plane(pools(), partitions)
    async with plane.running():
        await plane.announce(run("one"), run("two"), run("alone", "own"))
        for number, rows in enumerate(MINUTES):
            for message in [message for at, message in said if at == number]:
                await plane.say(message)
            assert plane.feed is not None
            await plane.feed.publish([rows])
            if killed is not None:
                await plane.kill(*killed)
            await plane.done([rows])
    return plane


def at(number: int) -> int:
    return MINUTES[number][0].ts_event


def decisions(plane: Plane) -> dict[str, bytes]:
    found = [event for name in DECISIONS for event in plane.events(name)]
    said = {f"{event.record.topic} {event.envelope.message_id}": event.record.value or b"" for event in found}
    assert len(said) == len(found), "a decision stands on the log twice"
    return said


def open_orders(plane: Plane, run_id: str) -> set[str]:
    ended = {e.message.order_id for e in plane.events("fills") if isinstance(e.message, OrderCanceled)}
    filled = {fill.order_id for fill in plane.of(OrderFilled) if fill.leaves_quantity == 0}
    return {order.order_id for order in plane.of(SubmitOrder) if order.run_id == run_id} - ended - filled


async def account(plane: Plane, account_id: str) -> RiskAccount:
    """Return risk's account as a restart would restore it."""
    states = StateTable("risk", 0, SERDE)
    await states.restore(plane.broker)
    return states.get(RiskAccount, account_id)


async def test_a_stopped_run_loses_its_open_orders_and_keeps_its_positions() -> None:
    plane = await traded((5, stopped("one")))
    resting = {
        order.order_id for order in plane.of(SubmitOrder) if (order.run_id, order.instrument_id) == ("one", "B.XNAS")
    }
    assert len(resting) > 1
    canceled = plane.of(OrderCanceled)
    assert {(report.run_id, report.ts_event, report.reason) for report in canceled} == {
        ("one", at(5), "run one was stopped")
    }
    assert {report.order_id for report in canceled} >= resting
    assert len(plane.of(CancelOrder)) == len(canceled), "each order is withdrawn once"
    assert {order.ts_event for order in plane.of(SubmitOrder) if order.run_id == "one"} == {at(n) for n in range(5)}
    # The other run of the account goes on, with its resting orders.
    assert any(order.ts_event == at(11) for order in plane.of(SubmitOrder) if order.run_id == "two")
    assert len(open_orders(plane, "two")) > 1
    books = await account(plane, "both")
    assert set(books.reservations) <= open_orders(plane, "two")
    assert {order.run_id for order in books.orders.open.values()} == {"two"}
    assert books.run_positions["one"]["A.XNAS"] > 0
    states = [state for state in plane.of(PositionsUpdated) if state.account_id == "both"]
    assert states[-1].ts_event == at(11)


async def test_a_halt_cancels_and_denies_until_it_is_released() -> None:
    plane = await traded((4, word(True)), (8, word(False)))
    changes = [
        (change.account_id, change.active, change.reason, change.ts_event) for change in plane.of(KillSwitchChanged)
    ]
    assert changes == [("both", True, "looks wrong", at(4)), ("both", False, "looked into", at(8))]
    (first, _) = [event for event in plane.events("risk") if isinstance(event.message, KillSwitchChanged)]
    assert first.envelope.causation_id == word(True).command_id
    canceled = plane.of(OrderCanceled)
    assert {(report.account_id, report.ts_event, report.reason) for report in canceled} == {
        ("both", at(4), "looks wrong")
    }
    denials = plane.of(OrderDenied)
    assert {(denial.code, denial.account_id) for denial in denials} == {("KILL_SWITCH", "both")}
    assert {denial.ts_event for denial in denials} == {at(n) for n in range(4, 8)}
    ordered = {order.ts_event for order in plane.of(SubmitOrder) if order.account_id == "both"}
    assert ordered == {at(n) for n in range(12) if n not in range(4, 8)}
    assert {order.ts_event for order in plane.of(SubmitOrder) if order.account_id == "own"} == {
        at(n) for n in range(12)
    }


async def test_a_halt_awaits_the_run_that_opens_the_account() -> None:
    plane = Plane(pools())
    async with plane.running():
        await plane.say(word(True, "late"))
        await plane.announce(run("one"))
        await plane.publish(MINUTES[:2])
        await plane.announce(run("late", "late"))
        await plane.publish(MINUTES[2:4])
    (change,) = plane.of(KillSwitchChanged)
    assert (change.account_id, change.ts_event) == ("late", at(2))
    assert {order.account_id for order in plane.of(SubmitOrder)} == {"both"}


async def test_an_alpha_is_not_asked_about_a_slice_without_rows() -> None:
    pool, asked = AgentPool("restless", role="alpha"), []

    @pool.on
    def decide(slice_: Slice, run: Run) -> None:
        asked.append((slice_.ts, len(slice_.prices)))

    plane = Plane([*built_in(), pool])
    async with plane.running():
        await plane.announce(run("one"))
        await plane.publish(MINUTES[:1])
        await plane.say(word(True))
        assert plane.feed is not None
        assert await plane.feed.close_empty() == at(0) + 1
        await plane.publish(MINUTES[1:2])
    assert asked == [(at(0), 2), (at(1), 2)]
    assert [state.ts_event for state in plane.of(PositionsUpdated)] == [at(0), at(0) + 1, at(1)]


SAID = ((3, word(True)), (5, word(True, "own")), (6, word(False)), (8, stopped("two")), (10, word(True, number=2)))


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, bytes]:
    return decisions(asyncio.run(traded(*SAID)))


@pytest.mark.parametrize("count", [2, 3])
async def test_partitions_change_nothing(undisturbed: dict[str, bytes], count: int) -> None:
    plane = await traded(*SAID, partitions={**ONE, "account": count, "instrument": count})
    assert decisions(plane) == undisturbed


@pytest.mark.parametrize("killed", [("risk",), ("execution", "portfolio"), ()])
async def test_tasks_killed_at_every_slice_change_nothing(undisturbed: dict[str, bytes], killed: Sequence[str]) -> None:
    assert decisions(await traded(*SAID, killed=killed)) == undisturbed


async def test_words_and_cancels_said_twice_change_nothing(undisturbed: dict[str, bytes]) -> None:
    again = [(number, message) for number, message in SAID for _ in range(2)]
    # An orchestrator that comes back says all it had not committed again, in its order.
    plane = await traded(*again, (7, word(True)), (7, word(False)))
    assert decisions(plane) == undisturbed


async def test_a_replay_of_the_log_decides_the_same() -> None:
    plane = Plane(pools(), {**ONE, "account": 2, "instrument": 2})
    runs = [run("one"), run("two"), run("alone", "own")]
    async with plane.running():
        await plane.announce(*runs)
        assert plane.feed is not None
        for number, rows in enumerate(MINUTES):
            for message in [message for at, message in SAID if at == number]:
                await plane.say(message)
                await plane.feed.close_empty()
            await plane.publish([rows])
    found: dict[str, bytes] = {}

    def note(topic: str, event: Event) -> None:
        if topic in DECISIONS:
            found[f"{topic} {event.envelope.message_id}"] = SERDE.encode(event.message)

    replay, empty = Replay(pools(), runs, note), 0
    async for work in closed_slices(plane.broker, SERDE):
        replay.slice(rows_of(work.events), work.switches, ts=work.slice, active=work.runs)
        empty += not work.events
    assert empty == len(SAID)
    assert found == decisions(plane)
    assert {report.ts_event - at(2) for report in plane.of(OrderCanceled) if report.ts_event < at(3)} == {1}
