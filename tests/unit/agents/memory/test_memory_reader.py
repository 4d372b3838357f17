"""Queries: by each reference, by time, page by page; and from a workflow step."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from agents.memory.access import MemoryAccess
from agents.memory.reader import Memory
from agents.pool import AgentPool
from agents.steps import StepContext
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.remembering import memory_agent
from streams.clock import WallClock
from streams.errors import MissingData, StoreError
from streams.ids import derive_id
from streams.store import MemoryStore
from tests.dataplane import START, instrument, started
from tests.unit.agents.memory.memory_log import DAY, caught_up, filled, log_of, positions, project, sent, signal

SECOND = 10**9


@pytest.fixture
async def memory() -> Memory:
    """Give a memory of 60 signals and 10 fills, two a day."""
    records = [sent(started("run", [instrument("AAPL")], strategy_id="strategy", account_id="account"), "run", START)]
    for number in range(60):
        day, name = number // 2, ("AAPL.XNAS", "MSFT.XNAS")[number % 2]
        at = START + number * SECOND
        records.append(sent(signal(day, instrument_id=name), f"s{number}", at, cause=f"row{day}"))
        if number < 10:
            records.append(sent(filled(day, instrument_id=name, order_id=f"o{number}"), f"f{number}", at + 1))
    store = MemoryStore()
    await project(await log_of([*records, sent(positions(), "p", correlation="account")]), store)
    return Memory(store)


def ids(*names: str) -> list[str]:
    return [derive_id(name, "test") for name in names]


def found(events: list[dict[str, Any]]) -> list[str]:
    return [each["message_id"] for each in events]


async def test_an_event_is_found_by_its_id(memory: Memory) -> None:
    (event,) = await memory.query(message_id=ids("f3")[0])
    assert (event["type"], event["message"]["order_id"]) == ("OrderFilled", "o3")
    assert await memory.query(message_id="unknown") == []
    assert await memory.query(message_id=ids("f3")[0], kind="Signal") == []


async def test_events_are_found_by_what_they_refer_to(memory: Memory) -> None:
    assert found(await memory.query(causation_id="row29")) == ids("s59", "s58")
    assert found(await memory.query(order_id="o7")) == ids("f7")
    assert found(await memory.query(run_id="run", kind="OrderFilled", limit=2)) == ids("f9", "f8")
    assert found(await memory.query(strategy_id="strategy", topic="strategies")) == ids("run")
    assert found(await memory.query(account_id="account", kind="PositionsUpdated")) == ids("p")
    assert found(await memory.query(correlation_id="account")) == ids("p")
    assert len(await memory.query(workflow_id="run")) == 1
    assert await memory.query(run_id="other") == []


async def test_a_symbol_may_be_bare_or_have_its_venue(memory: Memory) -> None:
    bare, whole = await memory.query(symbol="MSFT"), await memory.query(symbol="MSFT.XNAS")
    assert found(bare) == found(whole) == ids(*(f"s{n}" for n in range(59, 9, -2)), *odd_with_fills())
    assert await memory.query(symbol="MSFT.XNYS") == []
    assert found(await memory.query(symbol="AAPL", topic="fills", limit=1)) == ids("f8")


def odd_with_fills() -> list[str]:
    return [f"{kind}{number}" for number in range(9, 0, -2) for kind in ("f", "s")]


async def test_times_are_those_of_the_events(memory: Memory) -> None:
    start, end = START + 3 * DAY, START + 4 * DAY
    assert found(await memory.query(start=start, end=end)) == ids("f7", "s7", "f6", "s6")
    assert found(await memory.query(symbol="AAPL", start=start, end=end)) == ids("f6", "s6")


async def test_pages_follow_one_another_without_gap_or_copy(memory: Memory) -> None:
    whole = await memory.query(limit=1000)
    assert len(whole) == 72
    paged: list[dict[str, Any]] = []
    while page := await memory.query(limit=7, cursor=paged[-1]["cursor"] if paged else None):
        paged += page
    assert paged == whole
    rare = await memory.query(kind="OrderFilled", limit=3, cursor=whole[0]["cursor"])
    assert found(rare) == ids("f9", "f8", "f7")


async def test_the_log_is_all_but_market_data_in_plain_words(memory: Memory) -> None:
    latest = (await memory.log(limit=1))[0]
    assert latest["says"] == "BUY MSFT.XNAS by momentum: score 0.1, confidence 0.50, price 10"
    assert len(await memory.log(limit=1000)) == 72


async def test_runs_are_listed_by_strategy(memory: Memory) -> None:
    assert [run["run_id"] for run in await memory.runs()] == ["run"]
    assert [run["status"] for run in await memory.runs("strategy")] == ["active"]
    assert await memory.runs("other") == []
    with pytest.raises(MissingData, match="no run 'nothing'"):
        await memory.latest("nothing")


async def test_without_an_agent_a_query_says_what_is_missing() -> None:
    memory = Memory(MemoryStore())
    for reading in (memory.query(symbol="AAPL"), memory.latest("run")):
        with pytest.raises(MissingData, match="start one with `finagent memory`"):
            await reading


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": 1001}, {"colour": "red"}])
async def test_a_wrong_query_is_refused(memory: Memory, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        await memory.query(**wrong)


async def test_a_workflow_step_reads_the_memory() -> None:
    seen: list[int] = []
    pool = AgentPool("own")

    @pool.step("look")
    def look(parameters: dict[str, Any], step: StepContext) -> dict[str, Any]:
        seen.append(len(step.memory.log(limit=1000)))
        return {"runs": step.memory.runs(), "events": len(step.memory.query(workflow_id=step.workflow_id))}

    orchestrator = FinAgentOrchestrator({"kafka": {"bootstrap": ""}, "redis": {"url": ""}})
    orchestrator.register_agent_pool(pool)
    await orchestrator.initialize()
    stop = asyncio.Event()
    try:
        steps = [{"agent_pool": pool.address, "action": "look"}]
        without = await orchestrator.execute_workflow({"workflow_id": "without", "steps": steps})
        assert "no memory agent has written" in str(without)
        settings, clock = orchestrator.settings, WallClock()
        agent = memory_agent(settings.memory, orchestrator.broker, orchestrator.store, clock, fresh=True)
        running = asyncio.create_task(agent.run(stop))
        await caught_up(orchestrator.broker, orchestrator.store, agent)
        asked = {"agent_pool": "memory_agent_pool", "action": "query", "parameters": {"workflow_id": "without"}}
        both = await orchestrator.execute_workflow({"workflow_id": "with", "steps": [*steps, asked]})
        assert both["status"] == "completed", both
        answers = list(both["results"].values())
        assert answers[0]["runs"] == []
        assert answers[1]["count"] >= 4
        assert {each["workflow_id"] for each in answers[1]["events"]} == {"without"}
        assert seen[0] > 0
    finally:
        stop.set()
        await running
        await orchestrator.shutdown()


def test_a_step_in_a_process_without_memory_is_told_so() -> None:
    with pytest.raises(MissingData, match="no shared memory"):
        StepContext("w", "s", START).memory.log()


async def test_a_memory_that_does_not_answer_is_given_up() -> None:
    class Silent(MemoryStore):
        async def highest(self, *asked: Any, **more: Any) -> Any:
            await asyncio.Event().wait()

    access = MemoryAccess(Memory(Silent()), asyncio.get_running_loop(), timeout_s=0.05)
    with pytest.raises(StoreError, match=r"did not answer within 0\.05 s"):
        await asyncio.to_thread(access.log)
