"""Workflow steps on the topic `steps`, and what pools answer on `results`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field

from agents.answering import MAX_RESULT_BYTES
from agents.data.pool import build as build_data
from agents.data.sources import SampleProvider
from agents.pool import AgentPool
from agents.steps import Answer, Inputs, Rows, StepContext
from schemas import BarBlock, KillSwitchChanged, RunStep, StepCompleted, StepFailed
from streams.errors import BrokerError, MissingData
from streams.record import Record
from tests.dataplane import SERDE, START, Plane, bar, instrument

FOUR = {"account": 1, "instrument": 4, "workflow": 1, "single": 1}
A, B = instrument("A"), instrument("B")
BLOCKS = tuple(
    BarBlock.from_bars([bar(name, day, start + day) for day in days])
    for name, start, days in (("A.XNAS", 10, range(3)), ("A.XNAS", 10, range(3, 5)), ("B.XNAS", 30, range(1, 6)))
)


class Window(BaseModel):
    """Parameters of a step."""

    model_config = ConfigDict(extra="forbid")
    window: int = Field(ge=1)
    name: str = "mean"


def pool() -> AgentPool:
    """Return a pool that answers in every way there is."""
    made = AgentPool("p")

    @made.step("bars")
    def bars(parameters: dict[str, Any]) -> dict[str, Any]:
        return {"bars": Rows(BLOCKS), "instruments": [A.model_dump(), B.model_dump()], "note": "two"}

    @made.step("closes")
    def closes(parameters: dict[str, Any], inputs: Inputs) -> dict[str, Any]:
        columns, common = inputs.column("close"), inputs.common_closes()
        return {
            "closes": {name: column.tolist() for name, column in columns.items()},
            "common": {name: column.tolist() for name, column in common.items()},
            "names": sorted(inputs.instruments()),
            "note": inputs.find("note"),
            "last": inputs.last_ts,
        }

    @made.step("window")
    def window(parameters: Window) -> dict[str, Any]:
        return parameters.model_dump()

    @made.step("large")
    def large(parameters: dict[str, Any]) -> dict[str, Any]:
        return {"text": "x" * parameters["size"]}

    @made.step("fails")
    def fails(parameters: dict[str, Any]) -> dict[str, Any]:
        raise {"data": MissingData("no bars"), "broker": BrokerError("away"), "bug": IndexError()}[parameters["how"]]

    @made.step("speaks")
    def speaks(parameters: dict[str, Any], step: StepContext) -> Answer:
        changed = KillSwitchChanged(account_id="a", active=True, reason=step.step_id, ts_event=step.ts)
        return Answer({"workflow": step.workflow_id}, (("a", changed),))

    @made.step("odd")
    def odd(parameters: dict[str, Any], cache: dict[str, Any]) -> dict[str, Any]:
        return {}

    @made.step("nan")
    def nan(parameters: dict[str, Any]) -> dict[str, Any]:
        return {"value": float("nan")}

    return made


def asked(action: str, parameters: dict[str, Any] | None = None, **changed: Any) -> RunStep:
    fields: dict[str, Any] = {
        "workflow_id": "w",
        "step_id": action,
        "attempt": 1,
        "agent_pool": "p_agent_pool",
        "action": action,
        "parameters": parameters or {},
        "inputs": {},
        "deadline": START + 1,
        "ts_event": START,
    }
    return RunStep(**{**fields, **changed})


async def answered(plane: Plane, step: RunStep) -> StepCompleted | StepFailed:
    """Send a step to running pools and return the answer."""
    before = len(plane.events("results"))
    await plane.say(step)
    await plane.until(lambda: len(plane.events("results")) > before, f"an answer to {step.step_id}")
    answer = plane.events("results")[-1].message
    assert isinstance(answer, StepCompleted | StepFailed)
    assert (answer.workflow_id, answer.step_id, answer.attempt) == ("w", step.step_id, step.attempt)
    return answer


async def answer_to(step: RunStep) -> StepCompleted | StepFailed:
    async with Plane([pool()]).running() as plane:
        return await answered(plane, step)


async def test_parameters_are_validated() -> None:
    async with Plane([pool()]).running() as plane:
        good = await answered(plane, asked("window", {"window": 3}))
        assert isinstance(good, StepCompleted)
        assert good.result == {"window": 3, "name": "mean"}
        for wrong, why in (
            ({"window": 0}, "window: Input should be greater than or equal to 1; expected parameters: window, name"),
            ({}, "window: Field required"),
            ({"window": 1, "wndow": 2}, "wndow: Extra inputs are not permitted"),
        ):
            bad = await answered(plane, asked("window", wrong))
            assert isinstance(bad, StepFailed)
            assert why in bad.error
            assert (bad.error_type, bad.retryable) == ("ConfigError", False)


@pytest.mark.parametrize(
    ("how", "error", "error_type", "retryable"),
    [
        ("data", "no bars", "MissingData", False),
        ("broker", "away", "BrokerError", True),
        ("bug", "IndexError()", "IndexError", False),
    ],
)
async def test_an_exception_is_an_answer(how: str, error: str, error_type: str, retryable: bool) -> None:
    failed = await answer_to(asked("fails", {"how": how}))
    assert isinstance(failed, StepFailed)
    assert (failed.error, failed.error_type, failed.retryable) == (error, error_type, retryable)


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (asked("fly"), "p_agent_pool has no action 'fly'; it has: bars, closes"),
        (asked("odd"), "odd: cache must be annotated with Inputs or StepContext"),
        (asked("closes"), "no step before this one gave market data; put data_agent_pool.fetch_market_data first"),
        (asked("nan"), "Out of range float values are not JSON compliant"),
        (asked("large", {"size": MAX_RESULT_BYTES}), "returned 100011 bytes, the limit is 100000; return Rows instead"),
    ],
)
async def test_what_cannot_be_answered_fails_with_its_reason(step: RunStep, error: str) -> None:
    failed = await answer_to(step)
    assert isinstance(failed, StepFailed)
    assert error in failed.error
    assert not failed.retryable


async def test_rows_travel_by_reference_and_come_back_equal() -> None:
    plane = Plane([pool()], FOUR)
    async with plane.running():
        fetched = await answered(plane, asked("bars"))
        assert isinstance(fetched, StepCompleted)
        reference = fetched.result["bars"]
        assert reference["topic"] == "history"
        assert reference["count"] == 10
        again = await answered(plane, asked("bars", attempt=2))
        assert isinstance(again, StepCompleted)
        assert again.result["bars"] == reference  # the same content is not written again
        await plane.kill()
        anew = await answered(plane, asked("bars", attempt=3))
        assert isinstance(anew, StepCompleted)
        assert anew.result["bars"]["sha256"] == reference["sha256"]
        assert anew.result["bars"]["partitions"] != reference["partitions"]
        for result in (fetched.result, anew.result):
            used = await answered(plane, asked("closes", inputs={"bars": result}))
            assert isinstance(used, StepCompleted)
            assert used.result == {
                "closes": {"A.XNAS": [10, 11, 12, 13, 14], "B.XNAS": [31, 32, 33, 34, 35]},
                "common": {"A.XNAS": [11, 12, 13, 14], "B.XNAS": [31, 32, 33, 34]},
                "names": ["A.XNAS", "B.XNAS"],
                "note": "two",
                "last": BLOCKS[-1].ts_event,
            }
    written = [SERDE.decode(each.value) for each in plane.records("history")]
    assert {repr(block) for block in written} == {repr(block) for block in BLOCKS}
    assert {each.partition for each in plane.records("history")} <= set(range(4))


@pytest.mark.parametrize("how", ["hash", "count", "range", "rows"])
async def test_a_tampered_reference_is_refused(how: str) -> None:
    plane = Plane([pool()])
    async with plane.running():
        fetched = await answered(plane, asked("bars"))
        assert isinstance(fetched, StepCompleted)
        reference = fetched.result["bars"]
        if how == "hash":
            reference["sha256"] = "0" * 64
        elif how == "count":
            reference["count"] += 1
        elif how == "range":
            reference["partitions"][0]["start"] += 1
        else:
            changed = BarBlock.from_bars([bar("A.XNAS", day, 10.5 + day) for day in range(3)])
            log = plane.broker._logs["history"][0]
            first = log[0]
            (forged,) = await plane.broker.publish([Record("history", "A.XNAS", SERDE.encode(changed))])
            log[0] = log[forged].__class__(
                first.topic, 0, 0, first.key, log[forged].value, first.headers, first.timestamp_ms
            )
        failed = await answered(plane, asked("closes", inputs={"bars": fetched.result}))
    assert isinstance(failed, StepFailed)
    assert failed.error_type == "InvalidData"
    assert "the rows on history are not those of the reference" in failed.error


async def test_a_step_for_another_pool_is_left_to_it() -> None:
    plane = Plane([pool()])
    async with plane.running():
        await plane.say(asked("window", {"window": 1}, agent_pool="q_agent_pool"), asked("window", {"window": 2}))
        await plane.until(lambda: bool(plane.events("results")))
        (answer,) = plane.of(StepCompleted)
        assert answer.result["window"] == 2
        await plane.until(lambda: plane.committed("p.steps.0", "steps") == 2, "both offsets")


async def test_steps_for_others_are_committed_without_work_of_its_own() -> None:
    plane = Plane([pool()])
    async with plane.running():
        await plane.say(*(asked("window", {"window": n}, agent_pool="q_agent_pool") for n in (1, 2)))
        await plane.until(lambda: plane.committed("p.steps.0", "steps") == 2, "offsets of others")
    assert not plane.events("results")


async def test_a_broken_step_is_a_dead_letter() -> None:
    plane = Plane([pool()])
    async with plane.running():
        whole = SERDE.encode(asked("window", {"window": 1}, agent_pool="q_agent_pool"))
        await plane.broker.publish([Record("steps", "w", whole[:-3]), Record("steps", "w", b"nonsense")])
        await plane.until(lambda: len(plane.letters("steps")) == 2, "dead letters")


async def test_events_of_an_answer_are_published_with_it() -> None:
    plane = Plane([pool()])
    async with plane.running():
        answer = await answered(plane, asked("speaks"))
    assert isinstance(answer, StepCompleted)
    (event,) = plane.events("risk")
    (step,) = plane.events("steps")
    assert isinstance(event.message, KillSwitchChanged)
    assert (event.message.reason, event.record.key) == ("speaks", "a")
    assert event.envelope.causation_id == step.envelope.message_id
    assert event.envelope.correlation_id == "w"


async def test_a_step_that_comes_twice_is_answered_twice_under_one_id() -> None:
    plane = Plane([pool()])
    async with plane.running():
        await plane.say(asked("window", {"window": 1}), asked("window", {"window": 1}))
        await plane.until(lambda: len(plane.events("results")) == 2)
    assert len({event.envelope.message_id for event in plane.events("results")}) == 1


async def test_resolve_instruments_knows_the_topic_instruments_after_a_restart_too() -> None:
    new = instrument("ZZZ", "SIM")
    data = build_data([SampleProvider()])
    plane = Plane([data])

    def resolve(*symbols: str, attempt: int = 1) -> RunStep:
        return asked(
            "resolve_instruments", {"symbols": symbols}, agent_pool="data_agent_pool", attempt=attempt, step_id="r"
        )

    async with plane.running():
        missing = await answered(plane, resolve("ZZZ"))
        assert isinstance(missing, StepFailed)
        assert missing.retryable
        assert "Unknown symbol 'ZZZ': no feed has published it, no provider has it; known: AAPL.XNAS" in missing.error
        assert plane.feed is not None
        await plane.feed.reference_data([new])
        await plane.until(lambda: plane.committed("data.steps.0", "instruments") == 1)
        found = await answered(plane, resolve("ZZZ", "AAPL", attempt=2))
        assert isinstance(found, StepCompleted)
        assert [each["instrument_id"] for each in found.result["instruments"]] == ["ZZZ.SIM", "AAPL.XNAS"]
        await plane.kill()
        again = await answered(plane, resolve("ZZZ.SIM", attempt=3))
        assert isinstance(again, StepCompleted)
        assert again.result["instruments"] == [new.model_dump()]


def test_common_closes_are_aligned_by_time() -> None:
    closes = Inputs({}, BLOCKS).common_closes()
    assert {name: column.dtype for name, column in closes.items()} == dict.fromkeys(closes, np.dtype("float64"))
