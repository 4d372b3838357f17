"""Events that come again: the same messages under the same ids, and the same end in any order."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from workflow_driver import AAPL, SECOND, T0, Driver, broke, by_id, command, done, start, step

from orchestrator.advance import Event, TimerDue, resend
from schemas import CancelWorkflow, ExecuteWorkflow, RunStep, StopStrategy, StrategyStarted, Workflow


def at(seconds: float) -> int:
    return T0 + round(seconds * SECOND)


@dataclass(frozen=True)
class Given:
    """An event, when it is handled, and which events (by place) must have come before it."""

    event: Event
    now: int
    after: tuple[int, ...] = ()


SLOW = 10_000.0
FLOW = command(
    step("a", timeout_s=SLOW),
    step("b", "a", timeout_s=SLOW),
    step("c", "a", timeout_s=SLOW),
    step("d", "a", timeout_s=5),
    step("e", "b", "c", timeout_s=SLOW),
    step(
        "run",
        "d",
        "e",
        agent_pool="orchestrator",
        action="start_run",
        parameters={"strategy_id": "s1", "parameters": {"threshold": 0.02}},
    ),
    step("f", "run", timeout_s=SLOW),
)
HISTORY = (
    Given(FLOW, at(0)),
    Given(done("a", instruments=[AAPL]), at(1), (0,)),
    Given(broke("b", 1), at(2), (1,)),
    Given(TimerDue("w", at(2.5)), at(2.5), (2,)),
    Given(done("b", 2, x=2), at(3), (3,)),
    Given(done("c", x=3), at(4), (1,)),
    Given(TimerDue("w", at(6)), at(6), (1,)),
    Given(TimerDue("w", at(6.5)), at(6.5), (6,)),
    Given(done("d", 2, x=4), at(7), (7,)),
    Given(done("d", 1, x=4), at(7), (7,)),
    Given(done("e", x=5), at(8), (4, 5)),
    Given(done("f", x=6), at(9), (8, 10)),
)


def replay(order: list[int]) -> Driver:
    driver = Driver()
    for place in order:
        driver.feed(HISTORY[place].event, HISTORY[place].now)
    return driver


def shuffled(chance: random.Random) -> list[int]:
    """Return the places of HISTORY in an order that respects their causes, each one to three times."""
    left = {place: chance.randint(1, 3) for place in range(len(HISTORY))}
    order: list[int] = []
    while left:
        ready = [place for place in left if set(HISTORY[place].after) <= set(order)]
        place = chance.choice(ready)
        order.append(place)
        left[place] -= 1
        if not left[place]:
            del left[place]
    return order


EXPECTED = replay(list(range(len(HISTORY))))


def test_the_history_completes() -> None:
    assert EXPECTED.state.status == "completed"
    assert sum(isinstance(message, StrategyStarted) for _, message in EXPECTED.sent) >= 1


@pytest.mark.parametrize("seed", range(200))
def test_any_order_with_any_repetition_ends_the_same(seed: int) -> None:
    driver = replay(shuffled(random.Random(seed)))
    assert driver.state == EXPECTED.state
    assert {message_id for message_id, _ in driver.sent} == {message_id for message_id, _ in EXPECTED.sent}


@pytest.mark.parametrize("place", range(len(HISTORY)))
def test_an_event_that_comes_again_at_once_says_all_of_it_again(place: int) -> None:
    driver = replay(list(range(place)))
    first = by_id(driver.feed(HISTORY[place].event, HISTORY[place].now))
    state = driver.state
    again = by_id(driver.feed(HISTORY[place].event, HISTORY[place].now + SECOND))
    assert first
    assert first.items() <= again.items()
    assert driver.state == state


@pytest.mark.parametrize("place", range(len(HISTORY)))
def test_an_event_that_comes_again_late_changes_nothing(place: int) -> None:
    driver = replay(list(range(len(HISTORY))))
    again = driver.feed(HISTORY[place].event, HISTORY[place].now + 99 * SECOND)
    assert driver.state is EXPECTED.state or driver.state == EXPECTED.state
    known = dict(EXPECTED.sent)
    for message_id, message in again.messages:
        assert message_id in known
        assert isinstance(message, Workflow) or message == known[message_id]


@pytest.mark.parametrize(
    "events",
    [
        (start(), CancelWorkflow(workflow_id="w", ts_event=T0)),
        (start(), StopStrategy(workflow_id="w", run_id="w", ts_event=T0)),
        (start(), broke("resolve_instruments", retryable=False)),
        (command(step("a", "b"), step("b", "a")),),
        (command(step("a", agent_pool="nowhere")),),
    ],
)
def test_an_event_that_ended_the_workflow_says_so_again(events: tuple[Event, ...]) -> None:
    driver = Driver()
    for event in events:
        first = driver.feed(event)
    state = driver.state
    assert driver.feed(events[-1], T0 + SECOND).messages == first.messages
    assert driver.state is state


def test_a_restart_repeats_what_is_in_flight() -> None:
    driver = replay([0, 1, 2])
    advanced = resend(driver.state, "restart")
    attempts = [(each.step_id, each.attempt) for _, each in advanced.messages if isinstance(each, RunStep)]
    assert attempts == [("c", 1), ("d", 1)]
    sent = dict(driver.sent)
    assert all(sent[message_id] == each for message_id, each in advanced.messages if isinstance(each, RunStep))
    assert isinstance(advanced.messages[-1][1], Workflow)


def test_a_command_id_taken_again_changes_nothing() -> None:
    driver = replay([0, 1])
    state = driver.state
    driver.feed(ExecuteWorkflow(workflow_id="w", ts_event=T0, steps=(step("other"),)))
    assert driver.state is state
