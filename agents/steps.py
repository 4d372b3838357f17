"""Pools under the task loop: workflow steps to answers.

An answer is a function of the step's parameters and of the results of the steps before it. Rows travel by reference:
an answer returns Rows, which are written to the run's own topic; the next step finds them loaded in its Inputs.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Literal, get_type_hints

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from agents.pool import AgentPool
from agents.processing import ArrivalInbox
from agents.references import Reference, Rows, is_reference, load, refer, run_topic
from schemas import BarBlock, Instrument, Message, RunStep, StepCompleted, StepFailed, canonical_json
from schemas.columns import Float64
from streams.broker import TopicConfig
from streams.errors import ConfigError, MissingData
from streams.record import Event
from streams.slices import Work
from streams.state import State
from streams.task import Inbox, Output, Outputs, Task

MAX_RESULT_BYTES = 100_000
"""Larger step results are refused: rows travel by reference."""


@dataclass(frozen=True)
class Inputs:
    """Results of the steps that a step depends on, directly or not."""

    results: Mapping[str, Mapping[str, Any]]
    """By step_id."""
    blocks: tuple[BarBlock, ...] = ()
    """The rows that those results refer to."""

    def column(self, name: Literal["open", "high", "low", "close", "volume"]) -> dict[str, Float64]:
        """Return a column of the bars by instrument, oldest first; raise MissingData where no step before gave bars."""
        if not self.blocks:
            raise MissingData("no step before this one gave market data; put data_agent_pool.fetch_market_data first")
        parts: dict[str, list[Float64]] = {}
        for block in self.blocks:
            parts.setdefault(block.instrument_id, []).append(getattr(block, name))
        return {instrument_id: np.concatenate(columns) for instrument_id, columns in parts.items()}

    def common_closes(self) -> dict[str, Float64]:
        """Return closes by instrument on the bars that all instruments have, shape (n,) each, oldest first."""
        closes = self.column("close")
        parts: dict[str, list[NDArray[np.int64]]] = {}
        for block in self.blocks:
            parts.setdefault(block.instrument_id, []).append(block.dt_ns.astype(np.int64) + block.base_ts)
        times = {instrument_id: np.concatenate(columns) for instrument_id, columns in parts.items()}
        common = reduce(np.intersect1d, times.values())
        return {name: values[np.isin(times[name], common)] for name, values in closes.items()}

    @property
    def last_ts(self) -> int:
        """Return the time of the last bar, ns UTC."""
        return max((block.ts_event for block in self.blocks), default=0)

    def instruments(self) -> dict[str, Instrument]:
        """Return the instruments that a step before named, by id."""
        found = (Instrument.model_validate(each) for each in self.find("instruments"))
        return {instrument.instrument_id: instrument for instrument in found}

    def find(self, key: str) -> Any:
        """Return a key of the latest result that has it; raise MissingData where none has."""
        for result in reversed(list(self.results.values())):
            if key in result:
                return result[key]
        raise MissingData(f"no step before this one gave {key!r}")


@dataclass(frozen=True)
class StepContext:
    """Which step is being answered."""

    workflow_id: str
    step_id: str
    ts: int
    """When the step was sent, ns UTC."""
    instruments: Mapping[str, Instrument] = field(default_factory=dict)
    """What the topic `instruments` says, by instrument_id."""


@dataclass(frozen=True)
class Answer:
    """A result together with events to publish."""

    result: Mapping[str, Any]
    events: tuple[tuple[str, Message], ...] = ()
    """(partition key, event)."""


class KnownInstrument(State):
    """Reference data that this task has read."""

    instrument: Instrument | None = None


class StepProcessor:
    """A pool's step answers, for one task: one step at a time, in a thread, so that the event loop stays free."""

    owned: tuple[str, ...] = ("steps",)
    broadcast: tuple[str, ...] = ("instruments",)

    def __init__(self, pool: AgentPool) -> None:
        self._pool = pool
        self.pool = f"{pool.name}.steps"
        self._instruments: dict[str, Instrument] = {}

    def inbox(self, task: Task) -> Inbox:
        """Take steps one by one; recall the instruments."""
        for key in task.states.keys(KnownInstrument):
            self._learn(task.states.get(KnownInstrument, key).instrument)
        return ArrivalInbox(singly=True)

    def _learn(self, instrument: Instrument | None) -> None:
        if instrument is not None:
            self._instruments[instrument.instrument_id] = instrument

    def due(self, task: Task) -> Sequence[Output]:
        """Return nothing: the orchestrator keeps the time of steps."""
        return ()

    async def process(self, work: Work, task: Task) -> Outputs:
        """Answer a step addressed to this pool; a failing one is answered with StepFailed."""
        (event,) = work.events
        step = event.message
        if isinstance(step, Instrument):
            task.states.get(KnownInstrument, step.instrument_id).instrument = step
            self._learn(step)
        if not isinstance(step, RunStep) or step.agent_pool not in (self._pool.address, self._pool.name):
            return Outputs()
        try:
            inputs = await self._inputs(step, task)
            answer = await asyncio.to_thread(self._answer, step, inputs)
            return await self._completed(step, answer, event, task)
        except Exception as error:
            return Outputs([_failed(step, error, event, task)])

    async def _inputs(self, step: RunStep, task: Task) -> Inputs:
        found: list[Reference] = []
        for result in step.inputs.values():
            found += [Reference.model_validate(value) for value in result.values() if is_reference(value)]
        blocks = [block for reference in found for block in await load(reference, task.broker, task.serde)]
        return Inputs(step.inputs, tuple(blocks))

    def _answer(self, step: RunStep, inputs: Inputs) -> Answer:
        function = self._pool.answer(step.action)
        context = StepContext(step.workflow_id, step.step_id, step.ts_event, self._instruments)
        result = function(*_arguments(function, step.parameters, inputs, context))
        return result if isinstance(result, Answer) else Answer(result)

    async def _completed(self, step: RunStep, answer: Answer, event: Event, task: Task) -> Outputs:
        cause = event.envelope.message_id
        _check_size(step, answer.result)
        events = [Output(message, cause, step.workflow_id, key=key) for key, message in answer.events]
        written = [block for value in answer.result.values() if isinstance(value, Rows) for block in value.blocks]
        if not written:
            return Outputs([*events, _answered(step, dict(answer.result), cause, task)])
        name = run_topic(step.workflow_id)
        await task.broker.create_topics({name: TopicConfig(task.partitions["instrument"])})
        blocks = [Output(block, cause, step.workflow_id, topic=name) for block in written]

        def follow(placed: Sequence[int]) -> list[Output]:
            return [_answered(step, _referring(answer.result, name, placed, task), cause, task)]

        return Outputs([*blocks, *events], follow)


def _referring(result: Mapping[str, Any], name: str, placed: Sequence[int], task: Task) -> dict[str, Any]:
    """Put a Reference in the place of each Rows; placed holds the offsets of all their blocks in order, then others."""
    referring, begin = dict(result), 0
    for key, value in result.items():
        if isinstance(value, Rows):
            end = begin + len(value.blocks)
            partitions = task.partitions["instrument"]
            referring[key] = refer(name, value.blocks, placed[begin:end], partitions, task.serde).model_dump()
            begin = end
    return referring


def _arguments(function: Any, parameters: dict[str, Any], inputs: Inputs, context: StepContext) -> list[Any]:
    hints = get_type_hints(function)
    values: list[Any] = []
    for index, name in enumerate(inspect.signature(function).parameters):
        want = hints.get(name, dict)
        if want is Inputs:
            values.append(inputs)
        elif want is StepContext:
            values.append(context)
        elif index == 0:
            values.append(_parameters(want, parameters))
        else:
            raise ConfigError(f"{function.__name__}: {name} must be annotated with Inputs or StepContext")
    return values


def _parameters(want: Any, parameters: dict[str, Any]) -> Any:
    if not (isinstance(want, type) and issubclass(want, BaseModel)):
        return parameters
    try:
        return want.model_validate(parameters)
    except ValidationError as error:
        why = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'parameters'}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{why}; expected parameters: {', '.join(want.model_fields)}") from None


def _check_size(step: RunStep, result: Mapping[str, Any]) -> None:
    size = len(canonical_json({name: value for name, value in result.items() if not isinstance(value, Rows)}))
    if size > MAX_RESULT_BYTES:
        raise ConfigError(
            f"step {step.step_id!r} returned {size} bytes, the limit is {MAX_RESULT_BYTES}; return Rows instead"
        )


def _answered(step: RunStep, result: dict[str, Any], cause: str, task: Task) -> Output:
    message = StepCompleted(
        workflow_id=step.workflow_id,
        step_id=step.step_id,
        attempt=step.attempt,
        result=result,
        ts_event=task.clock.now(),
    )
    return Output(message, cause, step.workflow_id)


def _failed(step: RunStep, error: Exception, event: Event, task: Task) -> Output:
    message = StepFailed(
        workflow_id=step.workflow_id,
        step_id=step.step_id,
        attempt=step.attempt,
        error=str(error) or repr(error),
        error_type=type(error).__name__,
        retryable=getattr(error, "retryable", isinstance(error, OSError | TimeoutError)),
        ts_event=task.clock.now(),
    )
    return Output(message, event.envelope.message_id, step.workflow_id)
