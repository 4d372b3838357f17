"""The state machine's own step: putting a run on the data plane, and taking it off."""

from __future__ import annotations

from typing import Any

import pytest
from workflow_driver import AAPL, LIMITS, T0, Driver, by_id, command, done, execute, names_sent, run_sent, start, step

from schemas import Instrument, KillSwitchSet, SetKillSwitch, StopStrategy, StrategyStarted, StrategyStopped

DATA = "resolve_instruments"


def started(given: Any, **context: Any) -> tuple[Driver, StrategyStarted]:
    driver = Driver(**context)
    driver.feed(given)
    return driver, run_sent(driver.feed(done(DATA, instruments=[AAPL])))


def stop(workflow_id: str = "w") -> StopStrategy:
    return StopStrategy(workflow_id=workflow_id, run_id="w", ts_event=T0 + 9)


def test_a_start_announces_the_run() -> None:
    driver, run = started(start())
    assert run == StrategyStarted(
        run_id="w",
        strategy_id="s1",
        account_id="acct-w",
        workflow_id="w",
        alpha_pool="alpha",
        strategy_type="momentum",
        lookback_period=20,
        rebalance_frequency="daily",
        parameters={"threshold": 0.02},
        instruments=(Instrument.model_validate(AAPL),),
        currency="USD",
        initial_cash=500.0,
        limits=driver.context.get("limits", run.limits),
        ts_event=T0 - 5,
    )
    assert driver.state.status == "completed"
    assert driver.state.steps[-1].result == {"run_id": "w", "account_id": "acct-w"}


def test_the_history_is_checked_before_the_run() -> None:
    driver = Driver()
    assert names_sent(driver.feed(start(check_history=True))) == ["fetch_data#1"]
    assert names_sent(driver.feed(done("fetch_data", instruments=[AAPL]))) == ["generate_signals#1", "assess_risk#1"]
    driver.feed(done("generate_signals"))
    driver.feed(done("assess_risk", instruments=["AAPL.XNAS"]))
    driver.feed(done("construct_targets"))
    assert run_sent(driver.feed(done("estimate_cost"))).instruments[0].symbol == "AAPL"


def test_an_execution_without_orders_starts_no_run() -> None:
    driver = Driver()
    driver.feed(execute())
    for each in ("fetch_data", "generate_signals", "assess_risk", "construct_targets", "estimate_cost"):
        driver.feed(done(each, instruments=[AAPL]))
    assert driver.state.status == "completed"
    assert not [message for _, message in driver.sent if isinstance(message, StrategyStarted)]


def test_an_execution_with_orders_takes_the_defaults() -> None:
    driver = Driver(initial_cash=77.0, limits=LIMITS)
    driver.feed(execute(execute=True))
    for each in ("fetch_data", "generate_signals", "assess_risk", "construct_targets"):
        driver.feed(done(each, instruments=[AAPL]))
    run = run_sent(driver.feed(done("estimate_cost")))
    assert (run.once, run.initial_cash, run.limits) == (True, 77.0, LIMITS)


def test_control_keys_steer_the_run_and_stay_out_of_its_parameters() -> None:
    asked: dict[str, Any] = {
        "strategy_type": "ema",
        "alpha_pool": "mine",
        "limits": {"allow_short": True},
        "initial_cash": 3.0,
    }
    _, run = started(start(**asked), limits=LIMITS)
    assert (run.strategy_type, run.alpha_pool) == ("ema", "mine")
    assert run.limits == LIMITS.model_copy(update={"allow_short": True})
    assert run.initial_cash == 500.0, "the command's cash goes before the strategy's"
    assert run.parameters == {"threshold": 0.02}


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"instruments": [AAPL, {**AAPL, "instrument_id": "SAP.XETR", "currency": "EUR"}]}, "SAP.XETR in EUR"),
        ({}, "no step before it returned instruments; looked into (resolve_instruments)"),
        ({"instruments": []}, "no step before it returned instruments"),
        ({"instruments": [{**AAPL, "tick_size": 0}]}, "tick_size"),
    ],
)
def test_a_run_that_cannot_begin_fails_its_workflow(result: dict[str, Any], said: str) -> None:
    driver = Driver()
    driver.feed(start())
    driver.feed(done(DATA, **result))
    assert driver.state.status == "failed"
    assert "Step 'start_run' (orchestrator.start_run) failed" in driver.state.error
    assert said in driver.state.error


def test_a_run_in_a_users_workflow_needs_its_fields() -> None:
    driver = Driver()
    driver.feed(command(step("go", agent_pool="orchestrator", action="start_run"), step("next", "go")))
    assert "no step before it returned instruments" in driver.state.error
    assert driver.statuses() == {"go": "failed", "next": "cancelled"}
    driver = Driver()
    driver.feed(command(step(DATA), step("go", DATA, agent_pool="orchestrator", action="start_run")))
    driver.feed(done(DATA, instruments=[AAPL]))
    assert "strategy_id" in driver.state.error


def test_a_redelivery_announces_the_same_run_whatever_the_settings_are_now() -> None:
    driver = Driver(limits=LIMITS, initial_cash=5.0)
    given = start()
    driver.feed(given)
    first = by_id(driver.feed(done(DATA, instruments=[AAPL])))
    driver.context = {**driver.context, "limits": LIMITS.model_copy(update={"allow_short": True}), "initial_cash": 9.0}
    again = by_id(driver.feed(done(DATA, instruments=[AAPL]), T0 + 99))
    assert again == first
    assert run_sent(driver.feed(given, T0 + 99)) in first.values()


def test_a_stop_is_a_workflow_of_its_own() -> None:
    driver = Driver()
    first = driver.feed(stop("stop-1"))
    assert (driver.state.kind, driver.state.status, driver.state.workflow_id) == ("StopStrategy", "completed", "stop-1")
    assert first.messages[0][1] == StrategyStopped(run_id="w", reason="stopped by user", ts_event=T0 + 9)
    assert driver.feed(stop("stop-1"), T0 + 99).messages == first.messages


def test_a_stop_of_a_run_nobody_knows_is_repeated_unchanged() -> None:
    driver = Driver()
    first = driver.feed(stop("w"))
    assert driver.feed(stop("w"), T0 + 99).messages == first.messages


def test_a_stop_addressed_to_the_run_ends_it_for_good() -> None:
    driver, _ = started(start())
    first = driver.feed(stop())
    assert [type(message).__name__ for _, message in first.messages] == ["StrategyStopped", "Workflow"]
    assert (driver.state.status, driver.state.error) == ("cancelled", "stopped by user")
    assert driver.feed(stop(), T0 + 99).messages == first.messages
    for event in (start(), done(DATA, instruments=[AAPL])):
        assert not [m for _, m in driver.feed(event).messages if isinstance(m, StrategyStarted)]


def test_a_stop_overtakes_a_run_that_has_not_begun() -> None:
    driver = Driver()
    driver.feed(start())
    driver.feed(stop())
    assert driver.feed(done(DATA, instruments=[AAPL])).messages == ()
    assert driver.state.status == "cancelled"


def switch(active: bool = True, workflow_id: str = "kill-switch:acc") -> SetKillSwitch:
    return SetKillSwitch(workflow_id=workflow_id, account_id="acc", active=active, reason="why", ts_event=T0 + 9)


def test_a_kill_switch_is_said_on_under_the_ids_that_a_redelivery_gives_again() -> None:
    driver = Driver()
    first = driver.feed(switch())
    (_, said), (_, workflow) = first.messages
    assert isinstance(said, KillSwitchSet)
    assert (said.account_id, said.active, said.reason, said.ts_event) == ("acc", True, "why", T0 + 9)
    assert workflow == driver.state
    assert (driver.state.kind, driver.state.status) == ("SetKillSwitch", "completed")
    assert driver.feed(switch(), T0 + 99).messages == first.messages


def test_each_word_on_an_account_is_said_on_and_an_earlier_one_again_is_the_same() -> None:
    driver = Driver()
    halted, released = driver.feed(switch()), driver.feed(switch(False), T0 + 50)
    words = [dict(advanced.messages) for advanced in (halted, released)]
    assert not words[0].keys() & words[1].keys()
    assert driver.feed(switch(), T0 + 99).messages == halted.messages
    assert driver.feed(switch(False), T0 + 99).messages == released.messages


def test_a_kill_switch_addressed_to_another_workflow_leaves_that_as_it_is() -> None:
    driver, _ = started(start())
    before = driver.state
    (_, said), (_, workflow) = driver.feed(switch(workflow_id="w")).messages
    assert isinstance(said, KillSwitchSet)
    assert workflow == driver.state == before


def test_a_run_may_not_be_named_like_a_kill_switch() -> None:
    driver = Driver()
    driver.feed(start().model_copy(update={"workflow_id": "kill-switch:acc"}))
    driver.feed(done(DATA, instruments=[AAPL]).model_copy(update={"workflow_id": "kill-switch:acc"}))
    assert driver.state.status == "failed"
    assert "names beginning with 'kill-switch:' are for kill switches" in driver.state.error
