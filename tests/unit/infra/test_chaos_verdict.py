"""The verdict finds what is planted in a log: each of these would be a broken promise about money."""

from __future__ import annotations

import asyncio

import pytest

from infra.chaos.progress import DATA_PLANE, Progress
from infra.chaos.reading import TOPICS, Log, read_log
from infra.chaos.report import percentile
from infra.chaos.verdict import judge
from schemas import Message, Position, PositionsUpdated, Signal, SliceClosed, StepCompleted, Workflow
from streams.broker import TopicConfig
from streams.ids import derive_id
from streams.memory_broker import MemoryBroker
from streams.record import Envelope, Record
from streams.serde import Serde

SERDE = Serde()
ROOT = "a slice itself"


def said(topic: str, message: Message, name: str, cause: str = ROOT, source: str = "alpha") -> Record:
    """Return a message under an id that derives from a name; its cause is another's name."""
    root = cause if cause == ROOT else derive_id(cause, "test")
    envelope = Envelope(derive_id(name, "test"), type(message).__name__, source, 1, "run", root)
    return Record(topic, "key", SERDE.encode(message), envelope.headers(), partition=0)


def signal(score: float = 0.5) -> Signal:
    """Return an opinion."""
    return Signal(
        run_id="run",
        strategy_id="s",
        account_id="account",
        instrument_id="AAA.SIM",
        signal="BUY",
        score=score,
        confidence=1.0,
        price=10.0,
        model="momentum",
        ts_event=1,
    )


def statement(cash: float = 900.0, equity: float = 1000.0) -> PositionsUpdated:
    """Return an account that holds 10 at a mark of 10."""
    held = Position(instrument_id="AAA.SIM", quantity=10, average_price=10, mark=10, unrealised_pnl=0)
    return PositionsUpdated(
        account_id="account",
        currency="USD",
        cash=cash,
        equity=equity,
        deposits=1000,
        realised_pnl=0,
        unrealised_pnl=0,
        commission=0,
        fills=1,
        positions=(held,),
        ts_event=1,
    )


def workflow(status: str = "completed") -> Workflow:
    """Return a workflow without steps."""
    return Workflow.model_validate(
        {
            "workflow_id": "w",
            "kind": "ExecuteStrategy",
            "status": status,
            "steps": (),
            "command_id": "c",
            "started": 1,
            "ts_event": 2,
        }
    )


def answer() -> StepCompleted:
    """Return the answer to a step's first attempt."""
    return StepCompleted(workflow_id="w", step_id="s", attempt=1, result={}, ts_event=1)


SOUND = (
    said("signals", signal(), "one"),
    said("signals", signal(0.7), "two", cause="one"),
    said("positions", statement(), "three", source="portfolio"),
    said("workflows", workflow(), "four", source="orchestrator"),
    said("results", answer(), "five", cause="four", source="data.steps"),
)


async def log_of(*records: Record) -> Log:
    """Return what a log of these records comes to."""
    broker = MemoryBroker()
    await broker.create_topics({name: TopicConfig(1) for name in (*TOPICS, "signals.dlq")})
    await broker.publish(records)
    return await read_log(broker, SERDE)


async def wrong(*records: Record, aborted: tuple[str, ...] = ()) -> dict[str, int]:
    """Return what is found wrong with these records, where SOUND is expected."""
    verdict = judge(await log_of(*SOUND), await log_of(*records), [], aborted)
    return {what: count for what, count in verdict.counts().items() if count}


async def test_the_same_records_in_any_order_are_sound() -> None:
    assert await wrong(*SOUND) == {}
    assert await wrong(*reversed(SOUND)) == {}
    assert judge(await log_of(*SOUND), await log_of(*SOUND), [], ()).sound


async def test_a_lost_decision_is_found() -> None:
    assert await wrong(SOUND[0], *SOUND[2:]) == {"lost": 1}


async def test_a_lost_decision_that_another_one_rests_on_is_found_twice() -> None:
    assert await wrong(*SOUND[1:]) == {"lost": 1, "caused_by_no_record": 1}


async def test_a_decision_that_stands_on_the_log_twice_is_found() -> None:
    assert await wrong(*SOUND, SOUND[1]) == {"duplicated": 1}


async def test_a_foreign_decision_is_found() -> None:
    assert await wrong(*SOUND, said("signals", signal(), "another")) == {"foreign": 1}


async def test_other_bytes_under_the_same_id_are_found() -> None:
    assert await wrong(said("signals", signal(0.6), "one"), *SOUND[1:]) == {"differing": 1}


async def test_a_decision_on_an_aborted_record_is_found() -> None:
    acted = said("signals", signal(), "six", cause="aborted")
    name = derive_id("aborted", "test")
    assert await wrong(*SOUND, acted, aborted=(name,)) == {"foreign": 1, "caused_by_no_record": 1}
    findings = judge(await log_of(*SOUND), await log_of(*SOUND, acted), [], [name]).findings
    text = next(finding.first[0] for finding in findings if finding.what == "caused_by_no_record")
    assert name in text
    assert "an aborted record" in text


async def test_a_timer_is_a_cause_and_an_aborted_record_is_none_even_for_the_orchestrator() -> None:
    timed = said("workflows", workflow(), "four", cause="a timer", source="orchestrator")
    assert await wrong(*SOUND[:3], timed, SOUND[4]) == {}
    found = await wrong(*SOUND[:3], timed, SOUND[4], aborted=(derive_id("a timer", "test"),))
    assert found == {"caused_by_no_record": 1}


async def test_money_that_does_not_add_up_is_found() -> None:
    broken = said("positions", statement(cash=899.0), "three", source="portfolio")
    assert await wrong(*SOUND[:2], broken, *SOUND[3:]) == {"differing": 1, "ledgers": 2}


async def test_a_workflow_that_came_to_something_else_is_found() -> None:
    other = said("workflows", workflow("failed"), "four", source="orchestrator")
    assert await wrong(*SOUND[:3], other, SOUND[4]) == {"workflows": 1}


async def test_an_attempt_that_was_answered_under_two_ids_is_found() -> None:
    again = said("results", answer(), "seven", cause="four", source="data.steps")
    assert await wrong(*SOUND, again) == {"answers_with_two_ids": 1}


async def test_a_dead_letter_is_found() -> None:
    assert await wrong(*SOUND, Record("signals.dlq", "key", b"\x00", (), 0)) == {"dead_letters": 1}


async def test_a_stuck_task_is_not_sound() -> None:
    assert not judge(await log_of(*SOUND), await log_of(*SOUND), ["risk.2: slice 4 of 5"], ()).sound


def closing(topic: str, source: str, stage: str, partition: int, ts: int) -> Record:
    """Return a pool's word that a task is done with a slice."""
    message = SliceClosed(ts_event=ts, source=source, partition=partition, stage=stage)
    return said(topic, message, f"{source} {partition} {ts}", source=source)


def closings(ts: int, leave_out: str = "") -> list[Record]:
    """Return the words of all tasks, one left out."""
    told = [
        ("signals", "alpha", "decide"),
        ("targets", "portfolio", "construct"),
        ("orders", "risk", "control"),
        ("fills", "execution", "accept"),
    ]
    return [
        closing(topic, source, stage, partition, ts)
        for topic, source, stage in told
        for partition in range(4)
        if f"{source}.{partition}" != leave_out
    ]


async def test_progress_names_the_task_that_is_stuck() -> None:
    broker = MemoryBroker()
    await broker.create_topics({name: TopicConfig(1) for name in TOPICS})
    await broker.publish([*closings(10), *closings(20, leave_out="risk.2")])
    async with asyncio.timeout(10), Progress.following(broker, SERDE, (10, 20)) as progress:
        await progress.until(lambda: sum(progress.marks[task] == 2 for task in DATA_PLANE) == 15)
        assert progress.done == 1
        assert progress.late(["w"]) == ["risk.2: slice 1 of 2", "workflow w has not ended"]
        assert not progress.beyond({"risk.2": 1})
        await broker.publish([closing("orders", "risk", "control", 2, 20), said("workflows", workflow(), "w")])
        await progress.until(lambda: progress.done == 2 and "w" in progress.ended)
        assert progress.late(["w"]) == []


@pytest.mark.parametrize(("percent", "expected"), [(50, 3), (99, 5), (100, 5), (1, 1)])
def test_percentiles_are_of_the_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([5, 1, 3, 2, 4], percent) == expected
