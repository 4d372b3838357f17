"""Steps that are answered together: who waits for whom, what is committed, what is written once."""

from __future__ import annotations

import threading
from typing import Any

from agents.answering import MAX_BATCH
from agents.pool import AgentPool
from agents.references import Rows
from agents.steps import Inputs
from schemas import BarBlock, RunStep, StepCompleted, StepFailed
from tests.dataplane import START, Plane, bar

WAIT_S = 30


def blocks(name: str) -> tuple[BarBlock, ...]:
    return (BarBlock.from_bars([bar(f"{name}.XNAS", day, 10 + day) for day in range(3)]),)


def step(workflow_id: str, action: str, inputs: dict[str, Any] | None = None, **parameters: Any) -> RunStep:
    return RunStep(
        workflow_id=workflow_id,
        step_id=action,
        attempt=1,
        agent_pool="p_agent_pool",
        action=action,
        parameters=parameters,
        inputs=inputs or {},
        deadline=START + 1,
        ts_event=START,
    )


class Gates:
    """A pool some of whose answers wait for a gate."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.both = threading.Barrier(2)
        self.calls: list[str] = []
        self.pool = AgentPool("p")
        kept = Rows(blocks("KEPT"))

        @self.pool.step("slow")
        def slow(parameters: dict[str, Any]) -> dict[str, Any]:
            self.calls.append("slow")
            assert self.open.wait(WAIT_S)
            return {"done": True}

        @self.pool.step("quick")
        def quick(parameters: dict[str, Any]) -> dict[str, Any]:
            return {"n": parameters["n"]}

        @self.pool.step("meets")
        def meets(parameters: dict[str, Any]) -> dict[str, Any]:
            self.both.wait(WAIT_S)
            return {}

        @self.pool.step("fails")
        def fails(parameters: dict[str, Any]) -> dict[str, Any]:
            raise ValueError("no")

        @self.pool.step("bars")
        def bars(parameters: dict[str, Any]) -> dict[str, Any]:
            return {"bars": kept if parameters["symbol"] == "KEPT" else Rows(blocks(parameters["symbol"]))}

        @self.pool.step("counts")
        def counts(parameters: dict[str, Any], inputs: Inputs) -> dict[str, Any]:
            return {"rows": {name: len(column) for name, column in inputs.column("close").items()}}


def answers(plane: Plane) -> dict[str, StepCompleted | StepFailed]:
    found = [event.message for event in plane.events("results")]
    return {each.workflow_id: each for each in found if isinstance(each, StepCompleted | StepFailed)}


async def test_steps_of_a_batch_are_answered_at_the_same_time() -> None:
    gates = Gates()
    plane = Plane([gates.pool])
    async with plane.running():
        await plane.say(step("a", "meets"), step("b", "meets"))
        await plane.until(lambda: len(answers(plane)) == 2, "two answers that wait for each other")


async def test_a_slow_step_holds_up_no_quick_one_and_its_offset_is_kept_back() -> None:
    gates = Gates()
    plane = Plane([gates.pool])
    async with plane.running():
        await plane.say(step("slow", "slow"), step("q1", "quick", n=1))
        await plane.until(lambda: "q1" in answers(plane), "the quick answer")
        await plane.say(step("q2", "quick", n=2))
        await plane.until(lambda: "q2" in answers(plane), "a later quick answer")
        assert "slow" not in answers(plane)
        assert plane.committed("p.steps.0", "steps") == 0
        gates.open.set()
        await plane.until(lambda: "slow" in answers(plane), "the slow answer")
        await plane.until(lambda: plane.committed("p.steps.0", "steps") == 3, "all to be committed")
    assert gates.calls == ["slow"]


async def test_after_a_crash_only_what_was_not_committed_is_answered_again() -> None:
    gates = Gates()
    plane = Plane([gates.pool])
    async with plane.running():
        await plane.say(step("slow", "slow"), step("q1", "quick", n=1))
        await plane.until(lambda: "q1" in answers(plane), "the quick answer")
        await plane.kill()
        await plane.until(lambda: gates.calls == ["slow", "slow"], "the slow step to be taken up again")
        gates.open.set()
        await plane.until(lambda: "slow" in answers(plane), "the slow answer")
        assert len(plane.events("results")) == 2


async def test_a_failing_step_fails_alone() -> None:
    gates = Gates()
    plane = Plane([gates.pool])
    async with plane.running():
        await plane.say(step("a", "quick", n=1), step("b", "fails"), step("c", "quick", n=3))
        await plane.until(lambda: len(answers(plane)) == 3, "three answers")
    found = answers(plane)
    assert [type(found[name]) for name in "abc"] == [StepCompleted, StepFailed, StepCompleted]
    failed = found["b"]
    assert isinstance(failed, StepFailed)
    assert (failed.error, failed.error_type) == ("no", "ValueError")


async def test_more_steps_than_a_batch_takes_are_all_answered() -> None:
    gates = Gates()
    plane = Plane([gates.pool])
    count = MAX_BATCH * 2 + 5
    async with plane.running():
        await plane.say(*(step(f"w{n}", "quick", n=n) for n in range(count)))
        await plane.until(lambda: len(answers(plane)) == count, "all answers")
    told = answers(plane)
    assert {told[f"w{n}"].result["n"] for n in range(count)} == set(range(count))  # type: ignore[union-attr]
    assert len({event.envelope.message_id for event in plane.events("results")}) == count


async def test_the_same_rows_are_written_once_and_different_rows_apart() -> None:
    gates = Gates()
    plane = Plane([gates.pool])
    names = ("KEPT", "KEPT", "OTHER", "OTHER", "THIRD")
    async with plane.running():
        await plane.say(*(step(f"w{n}", "bars", symbol=name) for n, name in enumerate(names)))
        await plane.until(lambda: len(answers(plane)) == len(names), "references")
        results = [answers(plane)[f"w{n}"].result for n in range(len(names))]  # type: ignore[union-attr]
        assert results[0] == results[1]
        assert results[2] == results[3]
        assert len(plane.records("history")) == 3
        await plane.say(*(step(f"c{n}", "counts", {"bars": result}) for n, result in enumerate(results)))
        await plane.until(lambda: len(answers(plane)) == 2 * len(names), "rows by reference")
    for number, name in enumerate(names):
        counted = answers(plane)[f"c{number}"]
        assert isinstance(counted, StepCompleted), counted
        assert counted.result == {"rows": {f"{name}.XNAS": 3}}


async def test_a_reference_whose_rows_retention_deleted_is_missing_data() -> None:
    gates = Gates()
    plane = Plane([gates.pool])
    async with plane.running():
        await plane.say(step("w", "bars", symbol="KEPT"))
        await plane.until(lambda: "w" in answers(plane), "a reference")
        whole = plane.broker.beginnings

        async def beginnings(places: Any) -> Any:
            return {place: begin + (place.topic == "history") for place, begin in (await whole(places)).items()}

        plane.broker.beginnings = beginnings  # type: ignore[method-assign]
        result = answers(plane)["w"].result  # type: ignore[union-attr]
        await plane.say(step("c", "counts", {"bars": result}))
        await plane.until(lambda: "c" in answers(plane), "an answer")
    failed = answers(plane)["c"]
    assert isinstance(failed, StepFailed)
    assert failed.error_type == "MissingData"
    assert "the rows are gone: history[0] is kept from offset 1 on, they stand at 0; fetch them again" in failed.error
