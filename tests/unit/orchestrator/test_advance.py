"""The workflow state machine: progress, retries, timeouts, cancellation."""

from __future__ import annotations

import re

import pytest
from workflow_driver import SECOND, T0, Driver, broke, by_id, command, done, execute, names_sent, step, steps_sent

from orchestrator.advance import Event, TimerDue, next_due
from orchestrator.planner import PoolInfo
from schemas import CancelWorkflow, Workflow
from streams.ids import derive_id

DIAMOND = command(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c"))


def test_a_workflow_runs_to_its_end() -> None:
    driver = Driver()
    assert names_sent(driver.feed(DIAMOND)) == ["a#1"]
    assert names_sent(driver.feed(done("a", x=1), T0 + 1)) == ["b#1", "c#1"]
    assert names_sent(driver.feed(done("c", x=3), T0 + 2)) == []
    (last,) = steps_sent(driver.feed(done("b", x=2), T0 + 3))
    assert last.inputs == {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 3}}
    driver.feed(done("d", x=4), T0 + 4)
    assert (driver.state.status, driver.state.error) == ("completed", "")
    assert (driver.state.started, driver.state.ts_event, next_due(driver.state)) == (T0, T0 + 4, 0)
    assert {each.spec.step_id: each.result["x"] for each in driver.state.steps} == {"a": 1, "b": 2, "c": 3, "d": 4}


def test_an_attempt_carries_its_deadline_and_a_derived_id() -> None:
    driver = Driver()
    advanced = driver.feed(command(step("a", timeout_s=2.5, parameters={"k": 1})))
    (sent,) = steps_sent(advanced)
    assert (sent.ts_event, sent.deadline) == (T0, T0 + 2_500_000_000)
    assert (sent.agent_pool, sent.action, sent.parameters, sent.inputs) == ("p", "do", {"k": 1}, {})
    assert by_id(advanced)[derive_id("w", "orchestrator", "a", 1)] == sent
    assert next_due(driver.state) == sent.deadline


def test_every_change_says_the_new_state_last() -> None:
    driver = Driver()
    for event in (DIAMOND, done("a"), broke("b"), done("c"), CancelWorkflow(workflow_id="w", ts_event=T0)):
        assert driver.feed(event).messages[-1][1] == driver.state


def test_independent_steps_start_together_up_to_the_limit() -> None:
    many = command(*(step(each) for each in "abcd"))
    assert names_sent(Driver().feed(many)) == ["a#1", "b#1", "c#1", "d#1"]
    driver = Driver(max_concurrent_tasks=2)
    assert names_sent(driver.feed(many)) == ["a#1", "b#1"]
    driver.feed(broke("a"))
    assert names_sent(driver.feed(done("b"))) == ["c#1"]
    assert names_sent(driver.feed(done("a"))) == ["d#1"]


def test_a_retryable_failure_backs_off_and_tries_again() -> None:
    driver = Driver()
    driver.feed(command(step("a", max_attempts=3)))
    waits = []
    for attempt in (1, 2):
        now = T0 + attempt * 100 * SECOND
        assert names_sent(driver.feed(broke("a", attempt), now)) == []
        assert driver.statuses() == {"a": "backoff"}
        due = next_due(driver.state)
        waits.append((due - now) / SECOND)
        assert driver.feed(TimerDue("w", due - 1), due - 1).messages == ()
        assert names_sent(driver.feed(TimerDue("w", due), due)) == [f"a#{attempt + 1}"]
    assert waits == [0.5, 1.0]
    driver.feed(broke("a", 3))
    assert driver.state.status == "failed"
    assert driver.state.error == "Step 'a' (p.do) failed: MissingData: no data"


def test_backoff_is_capped() -> None:
    driver = Driver()
    driver.feed(command(step("a", max_attempts=2_000)))
    now, waits = T0, []
    for attempt in range(1, 1_100):
        driver.feed(broke("a", attempt), now)
        waits.append(next_due(driver.state) - now)
        now = next_due(driver.state)
        driver.feed(TimerDue("w", now), now)
    assert waits[:7] == [round(each * SECOND) for each in (0.5, 1, 2, 4, 8, 16, 30)]
    assert set(waits[7:]) == {30 * SECOND}


def test_a_permanent_failure_cancels_the_rest() -> None:
    driver = Driver()
    driver.feed(DIAMOND)
    driver.feed(done("a"))
    driver.feed(broke("b", retryable=False))
    assert driver.statuses() == {"a": "completed", "b": "failed", "c": "cancelled", "d": "cancelled"}
    assert next_due(driver.state) == 0
    assert driver.feed(done("c")).messages == ()


def test_a_silent_pool_times_out() -> None:
    driver = Driver()
    driver.feed(command(step("a", timeout_s=2, max_attempts=2)))
    driver.feed(TimerDue("w", T0 + 2 * SECOND), T0 + 2 * SECOND)
    assert driver.statuses() == {"a": "backoff"}
    due = next_due(driver.state)
    assert due == T0 + 2 * SECOND + SECOND // 2
    # A clock that jumped: the attempt gets its full time from now.
    driver.feed(TimerDue("w", due), due + 10 * SECOND)
    assert next_due(driver.state) == due + 12 * SECOND
    driver.feed(TimerDue("w", due + 12 * SECOND), due + 12 * SECOND)
    assert driver.state.error == "Step 'a' (p.do) failed: timed out after 2 s"


def test_one_timer_serves_all_steps_that_are_due() -> None:
    driver = Driver()
    driver.feed(command(step("a", timeout_s=1), step("b", timeout_s=2), step("c", timeout_s=9)))
    driver.feed(TimerDue("w", T0 + 3 * SECOND), T0 + 3 * SECOND)
    assert driver.statuses() == {"a": "backoff", "b": "backoff", "c": "running"}


def test_a_late_answer_to_an_older_attempt_counts_and_a_late_failure_does_not() -> None:
    driver = Driver()
    driver.feed(command(step("a", timeout_s=1), step("b", "a")))
    for _ in range(2):
        driver.feed(TimerDue("w", next_due(driver.state)), next_due(driver.state))
    assert driver.state.steps[0].attempt == 2
    before = driver.state
    assert driver.feed(broke("a", 1, retryable=False)).messages == ()
    assert driver.state is before
    assert names_sent(driver.feed(done("a", 1, x=1))) == ["b#1"]
    assert driver.feed(broke("a", 2)).messages == ()
    driver.feed(done("a", 2, x=2))
    assert driver.state.steps[0].result == {"x": 1}


def test_an_answer_during_backoff_counts() -> None:
    driver = Driver()
    driver.feed(command(step("a", timeout_s=1)))
    driver.feed(TimerDue("w", T0 + SECOND), T0 + SECOND)
    driver.feed(done("a"))
    assert driver.state.status == "completed"


def test_a_cancelled_workflow_waits_for_nothing() -> None:
    driver = Driver()
    driver.feed(DIAMOND)
    driver.feed(done("a"))
    driver.feed(CancelWorkflow(workflow_id="w", ts_event=T0, reason="enough"))
    assert (driver.state.status, driver.state.error, next_due(driver.state)) == ("cancelled", "enough", 0)
    assert driver.statuses() == {"a": "completed", "b": "cancelled", "c": "cancelled", "d": "cancelled"}
    before = driver.state
    for event in (done("b"), done("a"), broke("c"), TimerDue("w", T0 + 99 * SECOND)):
        assert driver.feed(event).messages == ()
        assert driver.state is before


def test_an_ended_workflow_is_not_cancelled() -> None:
    driver = Driver()
    driver.feed(command(step("a")))
    driver.feed(done("a"))
    driver.feed(CancelWorkflow(workflow_id="w", ts_event=T0))
    assert driver.state.status == "completed"


def test_what_belongs_to_no_workflow_is_ignored() -> None:
    for event in (done("a"), broke("a"), TimerDue("w", T0), CancelWorkflow(workflow_id="w", ts_event=T0)):
        driver = Driver()
        assert driver.feed(event).messages == ()
        assert driver.workflow is None


def test_answers_for_unknown_or_unstarted_steps_are_ignored() -> None:
    driver = Driver()
    driver.feed(DIAMOND)
    before = driver.state
    for event in (done("x"), broke("x"), done("d"), broke("d"), broke("a", 7)):
        assert driver.feed(event).messages == ()
        assert driver.state is before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (command(step("a", "b"), step("b", "a")), "cycle"),
        (command(step("a", agent_pool="q")), "'q'"),
        (execute(alpha_pool="beta", execute=True), "unknown alpha_pool 'beta', nearest is 'alpha'"),
        (execute(limits={"max_weight": 1}, execute=True), "'max_weight', nearest is"),
        (execute(limits={"max_daily_loss": 3}, execute=True), "max_daily_loss.*got 3"),
        (execute(limits=3, execute=True), "limits must be a dict, got 3"),
        (execute(initial_cash=-1, execute=True), "initial_cash must be a positive number, got -1"),
    ],
)
def test_a_command_that_cannot_be_planned_fails_its_workflow(given: Event, said: str) -> None:
    driver = Driver(alpha_pools=frozenset({"alpha"}))
    advanced = driver.feed(given)
    assert (driver.state.status, driver.state.steps) == ("failed", ())
    assert [type(message) for _, message in advanced.messages] == [Workflow]
    assert re.search(said, driver.state.error)


def test_a_disabled_pool_is_refused() -> None:
    driver = Driver(pools={"p": PoolInfo("p", enabled=False)})
    driver.feed(DIAMOND)
    assert "pool 'p' is disabled" in driver.state.error


def test_recorded_time_never_goes_back() -> None:
    driver = Driver()
    driver.feed(DIAMOND, T0 + 50)
    driver.feed(done("a"), T0)
    assert driver.state.ts_event == T0 + 50
