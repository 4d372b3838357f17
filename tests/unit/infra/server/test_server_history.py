"""What the server keeps of the log: bounded, in order, whichever way it was read."""

from __future__ import annotations

import random
from typing import Any

import pytest

from infra.server.accounts import Accounts
from infra.server.curve import Curve
from infra.server.executions import KEPT, Executions
from infra.server.history import History, Place, Seen
from infra.server.orders import Orders
from infra.server.pages import paged
from infra.server.problems import Refused
from infra.server.workflows import Workflows
from schemas import (
    ExecuteStrategy,
    KillSwitchChanged,
    KillSwitchSet,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    StartStrategy,
    StrategySpec,
    StrategyStopped,
    Workflow,
)
from streams.serde import Serde
from tests.dataplane import instrument, started

SERDE = Serde()


def seen(number: int, partition: int = 0) -> Seen[Any]:
    return Seen(Place(number // 2, partition, number), f"m{number}", "fills", "execution", "c", "d", number)


def test_pages_are_the_same_whichever_way_partitions_were_read() -> None:
    records = [seen(number, number % 3) for number in range(50)]
    shuffled = History[Any](100)
    for each in random.Random(1).sample(records, 50):
        shuffled.add(each)
    assert [each.place for each in shuffled.items] == sorted(each.place for each in records)
    found, cursor = shuffled.page(20, None)
    rest, end = shuffled.page(100, cursor)
    assert [each.place for each in found + rest] == sorted((each.place for each in records), reverse=True)
    assert end is None


def test_what_comes_between_two_pages_does_not_shift_the_second() -> None:
    history = History[Any](100)
    for number in range(10):
        history.add(seen(number))
    first, cursor = history.page(4, None)
    for number in range(10, 20):
        history.add(seen(number))
    second, _ = history.page(4, cursor)
    assert [each.message for each in first + second] == [9, 8, 7, 6, 5, 4, 3, 2]


def test_the_oldest_fall_out_and_their_owner_is_told() -> None:
    gone: list[Any] = []
    history = History[Any](100, gone.append)
    for number in range(1000):
        history.add(seen(number))
    assert 100 <= len(history.items) < 110
    assert history.total == 1000
    assert gone == list(range(1000 - len(history.items)))
    assert history.page(5, str(Place(0, 0, 0))) == ([], None)


def test_a_filter_fills_its_page() -> None:
    history = History[Any](1000)
    for number in range(100):
        history.add(seen(number))
    found, cursor = history.page(10, None, lambda each: each.message % 10 == 0)
    assert ([each.message for each in found], cursor) == (list(range(90, -1, -10)), None)
    found, cursor = history.page(3, None, lambda each: each.message % 10 == 0)
    assert [each.message for each in history.page(2, cursor, lambda each: each.message % 10 == 0)[0]] == [60, 50]


@pytest.mark.parametrize("cursor", ["", "1", "1.2", "1.2.3.4", "a.b.c", "-1.0.0", "1.0.²", "9" * 30 + ".0.0"])
def test_a_cursor_that_no_list_gave_is_refused(cursor: str) -> None:
    with pytest.raises(Refused):
        History[Any](100).page(1, cursor)


def test_pages_of_named_things_break_ties_by_name() -> None:
    items = [(5, "b"), (5, "a"), (7, "x.y"), (1, "z")]
    first, cursor = paged(items, 2, None, lambda each: each)
    second, end = paged(items, 2, cursor, lambda each: each)
    assert (first, second, end) == ([(7, "x.y"), (5, "b")], [(5, "a"), (1, "z")], None)
    for wrong in ("", "x", "5", "5.", ".a", "²5.a"):
        with pytest.raises(Refused):
            paged(items, 2, wrong, lambda each: each)


def test_a_curve_keeps_its_ends_and_its_bound() -> None:
    curve = Curve(100)
    for number in range(10_000):
        curve.add(number, float(number), 0.0)
        curve.add(number, -1.0, 0.0)  # the same slice again
        assert len(curve.times) <= 200
    points = curve.thinned(7)
    assert (len(points), points[0][0], points[-1][0]) == (7, 0, curve.times[-1])
    assert 9_800 <= curve.times[-1] <= 9_999
    assert all(equity == ts for ts, equity, _ in points)
    assert Curve(10).thinned(5) == []


def workflow(name: str, status: Any, ts: int) -> Workflow:
    return Workflow(workflow_id=name, kind="K", status=status, steps=(), command_id="c", started=1, ts_event=ts)


def test_workflows_in_flight_are_counted_and_the_oldest_ended_are_forgotten() -> None:
    gone: list[str] = []
    workflows = Workflows(SERDE, 2, gone.append)
    workflows.submitted |= {"w0", "never taken up"}

    def learn(name: str, status: Any, ts: int) -> bool:
        message = workflow(name, status, ts)
        return workflows.learn(message, SERDE.encode(message))

    for number in range(4):
        assert learn(f"w{number}", "running", 1)
    assert workflows.in_flight == 5
    assert not learn("w0", "running", 1)
    for number in range(4):
        assert learn(f"w{number}", "completed", 2)
        assert not learn(f"w{number}", "running", 1)
    assert (workflows.in_flight, workflows.counts["completed"], gone) == (1, 4, ["w0", "w1"])
    assert workflows.get("w3").status == "completed"


def command(kind: Any, workflow_id: str, strategy_id: str = "s", **more: Any) -> Any:
    spec = StrategySpec(strategy_id=strategy_id, name="S", symbols=("AAPL",))
    return kind(workflow_id=workflow_id, ts_event=more.pop("ts_event", 1), strategy=spec, **more)


def test_an_execution_is_put_together_in_any_order() -> None:
    start = command(StartStrategy, "w", initial_cash=5.0)
    run = started("w", [instrument("AAPL")], workflow_id="w")
    stop = StrategyStopped(run_id="w", reason="r", ts_event=9)
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)):
        executions = Executions()
        steps = (
            lambda e=executions: e.learn_command(start),
            lambda e=executions: e.learn_start(run),
            lambda e=executions: e.learn_stop(stop),
        )
        for step in order:
            steps[step]()
        (found,) = executions.of("s")
        assert (found.status("completed"), found.trades) == ("stopped", False), order


def test_the_status_of_an_execution() -> None:
    executions = Executions()
    evaluation = executions.learn_command(command(ExecuteStrategy, "e"))
    assert [evaluation.status(each) for each in (None, "running", "completed", "failed", "cancelled")] == [
        "running",
        "running",
        "completed",
        "failed",
        "cancelled",
    ]
    run = executions.learn_command(command(StartStrategy, "r", initial_cash=1.0))
    assert [run.status(each) for each in (None, "running", "completed", "failed")] == [
        "running",
        "running",
        "running",  # until the run is announced
        "failed",
    ]
    executions.learn_start(started("r", [instrument("AAPL")], workflow_id="r"))
    assert run.status("completed") == "active"


def test_a_definition_is_the_same_whatever_it_is_called_and_whenever_it_was_given() -> None:
    execution = Executions().learn_command(command(StartStrategy, "a", initial_cash=5.0))
    assert execution.same_definition(command(StartStrategy, "b", initial_cash=5.0, ts_event=7))
    assert not execution.same_definition(command(StartStrategy, "b", initial_cash=6.0))
    assert not execution.same_definition(command(ExecuteStrategy, "b"))


def test_executions_of_one_strategy_are_bounded_and_one_that_trades_stays() -> None:
    executions = Executions()
    executions.learn_command(command(StartStrategy, "run", initial_cash=1.0))
    executions.learn_start(started("run", [instrument("AAPL")], workflow_id="run"))
    for number in range(3 * KEPT):
        executions.learn_command(command(ExecuteStrategy, f"w{number}"))
    assert "run" in executions.by_workflow
    assert len(executions.of("s")) <= KEPT + 1
    assert len(executions.by_workflow) == len(executions.of("s"))


def report(kind: Any, **more: Any) -> Any:
    terms = {"run_id": "r", "strategy_id": "s", "account_id": "a", "instrument_id": "AAPL.XNAS", "side": "BUY"}
    return kind(**terms, **{"quantity": 10.0, "order_id": "o", "ts_event": 1, **more})


def fill(cumulative: float, leaves: float) -> OrderFilled:
    costs = {"commission": 0.0, "spread_cost": 0.0, "impact_cost": 0.0, "currency": "USD", "multiplier": 1.0}
    place = {"fill_id": "f", "price": 1.0, "reference_price": 1.0, "data_id": "d", "synthetic": False}
    return report(OrderFilled, cumulative_quantity=cumulative, leaves_quantity=leaves, **costs, **place)


@pytest.mark.parametrize(
    ("reports", "status", "filled"),
    [
        ([], None, 0.0),
        ([report(OrderAccepted)], "accepted", 0.0),
        ([report(OrderAccepted), fill(4, 6)], "partially_filled", 4.0),
        ([fill(4, 6), report(OrderAccepted)], "partially_filled", 4.0),
        ([fill(4, 6), fill(10, 0)], "filled", 10.0),
        ([fill(10, 0), fill(4, 6), report(OrderAccepted)], "filled", 10.0),
        ([fill(4, 6), report(OrderCanceled, reason="r")], "canceled", 4.0),
        ([report(OrderCanceled, reason="r"), fill(4, 6)], "canceled", 4.0),
        ([report(OrderRejected, reason="r")], "rejected", 0.0),
        ([report(OrderExpired)], "expired", 0.0),
    ],
)
def test_what_the_venue_made_of_an_order(reports: list[Any], status: str | None, filled: float) -> None:
    orders = Orders()
    for each in reports:
        orders.learn(each)
    state = orders.states.get("o")
    assert (state and state.status, state.filled if state else 0.0) == (status, filled)


def test_an_operators_word_is_pending_until_risk_has_taken_it() -> None:
    word = KillSwitchSet(account_id="a", active=True, reason="r", command_id="c", ts_event=5)
    done = KillSwitchChanged(account_id="a", active=True, reason="r", ts_event=3)
    for first in (True, False):
        accounts = Accounts(100)
        if first:
            accounts.learn_word(word)
            assert accounts.of("a").pending
            accounts.learn_switch(done, "a loss")
            assert accounts.of("a").pending
        accounts.learn_switch(done, "c")
        accounts.learn_word(word)
        assert not accounts.of("a").pending
