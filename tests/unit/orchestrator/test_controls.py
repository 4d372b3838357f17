"""What an operator does through the facade, embedded: stop, cancel, halt, release; and what it says came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings
from orchestrator.strategy import TradingStrategy
from schemas import KillSwitchChanged, OrderCanceled, OrderDenied, StrategyStarted, SubmitOrder
from streams.errors import UnknownAccount, UnknownWorkflow, WorkflowError
from streams.tail import Tail, tail
from tests.dataplane import START, bar, restless

MINUTE = 60 * 10**9
DECISIONS = ("signals", "risk", "orders", "fills")


@pytest.fixture
async def orchestrator() -> AsyncIterator[FinAgentOrchestrator]:
    made = FinAgentOrchestrator(settings=Settings.from_dict({"agent_pools": {"silent_agent_pool": {}}}))
    made.register_agent_pool(restless())
    await made.initialize()
    yield made
    await made.shutdown()


@pytest.fixture
async def followed(orchestrator: FinAgentOrchestrator) -> AsyncIterator[Tail]:
    async with tail(orchestrator.broker, orchestrator.serde, DECISIONS) as made:
        yield made


async def start(orchestrator: FinAgentOrchestrator, run_id: str = "mine", account_id: str = "both") -> StrategyStarted:
    parameters = {"alpha_pool": "restless", "rebalance_band": 0.0}
    strategy = TradingStrategy("s", "S", symbols=["AAPL", "MSFT"], parameters=parameters, rebalance_frequency="bar")
    return await orchestrator.start_strategy(strategy, account_id=account_id, check_history=False, run_id=run_id)


async def trade(orchestrator: FinAgentOrchestrator, followed: Tail, *minutes: int) -> None:
    """Publish minutes in which AAPL trades and MSFT does not, so that orders on MSFT rest."""
    feed = await orchestrator.feed()
    for number in minutes:
        times = {"interval": "1m", "ts_open": START + number * MINUTE, "ts_event": START + (number + 1) * MINUTE}
        day = {**times, "session_date": "2012-01-01"}
        await feed.publish([[bar("AAPL.XNAS", 0, 100.0, **day), bar("MSFT.XNAS", 0, 50.0, **day, volume=0.0)]])
        await followed.slice_done(feed.state.last_slice, orchestrator.partitions)


def of(followed: Tail, kind: type) -> list:
    return [event.message for event in followed.events if isinstance(event.message, kind)]


async def test_a_stop_cancels_the_runs_open_orders_without_waiting_for_data(
    orchestrator: FinAgentOrchestrator, followed: Tail
) -> None:
    await start(orchestrator)
    await start(orchestrator, "other")
    await trade(orchestrator, followed, 0, 1, 2)
    resting = {order.order_id for order in of(followed, SubmitOrder) if order.run_id == "mine"}
    last = (await orchestrator.feed()).state.last_slice
    result = await orchestrator.stop_strategy("mine", "enough")
    assert (result["run_id"], result["pending"], result["slice"]) == ("mine", False, last + 1)
    await followed.slice_done(last + 1, orchestrator.partitions)
    canceled = of(followed, OrderCanceled)
    assert len(canceled) == result["canceled"] > 1
    assert {report.order_id for report in canceled} <= resting
    await trade(orchestrator, followed, 3)
    assert {order.run_id for order in of(followed, SubmitOrder) if order.ts_event > last} == {"other"}
    assert of(followed, OrderCanceled) == canceled
    again = await orchestrator.stop_strategy("mine")
    assert (again["pending"], again["canceled"]) == (False, 0)


async def test_a_halt_takes_effect_at_once_and_holds_until_the_release(
    orchestrator: FinAgentOrchestrator, followed: Tail
) -> None:
    await start(orchestrator)
    await trade(orchestrator, followed, 0, 1)
    result = await orchestrator.set_kill_switch("both", True, "looks wrong")
    assert (result["account_id"], result["active"], result["pending"]) == ("both", True, False)
    await followed.slice_done(result["slice"], orchestrator.partitions)
    canceled = of(followed, OrderCanceled)
    assert len(canceled) == result["canceled"] > 1
    assert {report.reason for report in canceled} == {"looks wrong"}
    ordered = len(of(followed, SubmitOrder))
    await trade(orchestrator, followed, 2, 3)
    assert len(of(followed, SubmitOrder)) == ordered
    assert {denial.code for denial in of(followed, OrderDenied)} == {"KILL_SWITCH"}
    # Already so: said again, it is answered, and nothing else happens.
    again = await orchestrator.set_kill_switch("both", True, "still")
    assert (again["pending"], again["canceled"]) == (False, 0)
    released = await orchestrator.set_kill_switch("both", False, "looked into")
    assert (released["active"], released["pending"], released["canceled"]) == (False, False, 0)
    await trade(orchestrator, followed, 4)
    assert len(of(followed, SubmitOrder)) > ordered
    changes = [(change.active, change.reason) for change in of(followed, KillSwitchChanged)]
    assert changes == [(True, "looks wrong"), (True, "still"), (False, "looked into")]
    assert orchestrator.client.halted == {}


async def test_without_a_slice_a_control_says_that_it_waits(orchestrator: FinAgentOrchestrator, followed: Tail) -> None:
    await start(orchestrator)
    result = await orchestrator.set_kill_switch("both", True, "before the open")
    assert (result["pending"], result["slice"], result["canceled"]) == (True, None, 0)
    assert list(orchestrator.client.halted) == ["both"]
    await trade(orchestrator, followed, 0)
    assert {denial.code for denial in of(followed, OrderDenied)} == {"KILL_SWITCH"}
    assert not of(followed, SubmitOrder)


async def test_a_feed_elsewhere_that_is_silent_leaves_a_control_pending(
    orchestrator: FinAgentOrchestrator, followed: Tail
) -> None:
    await start(orchestrator)
    await trade(orchestrator, followed, 0, 1)
    orchestrator._feed = None
    halted = await orchestrator.set_kill_switch("both", True, "looks wrong", wait_s=0.1)
    assert (halted["pending"], halted["canceled"]) == (True, 0)
    stopped = await orchestrator.stop_strategy("mine", wait_s=0.1)
    assert (stopped["pending"], stopped["slice"], stopped["canceled"]) == (True, None, 0)
    assert await orchestrator.get_active_strategies() == []


async def test_unknown_names_are_refused_and_leave_nothing_on_the_log(orchestrator: FinAgentOrchestrator) -> None:
    await start(orchestrator)
    with pytest.raises(UnknownAccount, match=r"unknown account 'bth', nearest is 'both'; expected one of \(both\)"):
        await orchestrator.set_kill_switch("bth", True, "typo")
    with pytest.raises(UnknownWorkflow, match="unknown run 'mne', nearest is 'mine'"):
        await orchestrator.stop_strategy("mne")
    with pytest.raises(UnknownWorkflow, match="unknown workflow 'w'"):
        await orchestrator.cancel_workflow("w")
    async with tail(orchestrator.broker, orchestrator.serde, ["commands"], from_beginning=True) as said:
        await said.poll()
    assert [type(event.message).__name__ for event in said.events] == ["StartStrategy"]


SILENT = {"agent_pool": "silent_agent_pool", "action": "wait"}


async def test_a_workflow_is_cancelled_and_stays_so(orchestrator: FinAgentOrchestrator) -> None:
    running = asyncio.create_task(orchestrator.execute_workflow({"workflow_id": "w", "steps": [SILENT]}))
    await orchestrator.client.until(lambda: "w" in orchestrator.client.workflows, "the workflow")
    result = await orchestrator.cancel_workflow("w", "no longer wanted")
    assert (result["status"], result["error"], result["steps"]) == (
        "cancelled",
        "no longer wanted",
        {"1_wait": "cancelled"},
    )
    assert (await running)["status"] == "cancelled"
    assert (await orchestrator.cancel_workflow("w", "again"))["error"] == "no longer wanted"
    with pytest.raises(UnknownWorkflow, match="workflow 'w' puts no run on the data plane"):
        await orchestrator.stop_strategy("w")


async def test_a_run_that_is_still_starting_is_stopped(orchestrator: FinAgentOrchestrator) -> None:
    resolve = {"agent_pool": "data_agent_pool", "action": "resolve_instruments", "parameters": {"symbols": ["AAPL"]}}
    begin = {"agent_pool": "orchestrator", "action": "start_run", "parameters": {"strategy_id": "s"}}
    steps = [
        {**SILENT, "step_id": "silent"},
        {**resolve, "step_id": "resolve", "depends_on": ["silent"]},
        {**begin, "step_id": "begin", "depends_on": ["resolve"]},
    ]
    running = asyncio.create_task(orchestrator.execute_workflow({"workflow_id": "w", "steps": steps}))
    await orchestrator.client.until(lambda: "w" in orchestrator.client.workflows, "the workflow")
    result = await orchestrator.stop_strategy("w", "changed my mind")
    assert result == {"run_id": "w", "pending": False, "slice": None, "canceled": 0}
    assert ((await running)["status"], (await running)["error"]) == ("cancelled", "changed my mind")
    assert await orchestrator.get_active_strategies() == []


async def test_a_start_that_is_stopped_at_once_ends_stopped(orchestrator: FinAgentOrchestrator) -> None:
    starting = asyncio.create_task(start(orchestrator))
    while "mine" not in orchestrator.client.submitted:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await orchestrator.stop_strategy("mine", "changed my mind")
    # Where the run had begun just before, the start may have returned it.
    (outcome,) = await asyncio.gather(starting, return_exceptions=True)
    assert isinstance(outcome, WorkflowError | StrategyStarted)
    assert await orchestrator.get_active_strategies() == []


async def test_the_orders_of_a_single_execution_outlive_its_workflow(
    orchestrator: FinAgentOrchestrator, followed: Tail
) -> None:
    strategy = TradingStrategy("s", "S", symbols=["AAPL", "MSFT"], parameters={"strategy_type": "buy_and_hold"})
    result = await orchestrator.execute_strategy(strategy, execute=True)
    assert result["status"] == "completed"
    await trade(orchestrator, followed, 0, 1, 2)
    assert {order.run_id for order in of(followed, SubmitOrder)} == {result["workflow_id"]}
    assert not of(followed, OrderCanceled)
    await orchestrator.cancel_workflow(result["workflow_id"])
    await trade(orchestrator, followed, 3)
    assert not of(followed, OrderCanceled)
    stopped = await orchestrator.stop_strategy(result["workflow_id"])
    assert (stopped["pending"], stopped["canceled"]) == (False, 1)
