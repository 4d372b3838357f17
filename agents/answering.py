"""Pools under the task loop: workflow steps to answers (agents.steps)."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import lru_cache
from typing import Any, get_type_hints

from pydantic import BaseModel, ValidationError

from agents.memory.access import MemoryAccess
from agents.memory.reader import Memory
from agents.pool import AgentPool
from agents.references import Loaded, Reference, Rows, Written, is_reference, refer
from agents.steps import Answer, Inputs, StepContext
from schemas import Instrument, RunStep, StepCompleted, StepFailed, canonical_json
from streams.errors import ConfigError
from streams.ids import derive_id
from streams.in_hand import IN_HAND
from streams.outputs import Output, Outputs
from streams.processor import Inbox
from streams.record import Event
from streams.slices import Work
from streams.state import State
from streams.task import Task
from streams.topics import HISTORY

MAX_RESULT_BYTES = 100_000
"""Larger step results are refused: rows travel by reference."""
MAX_BATCH = 100
"""Steps of one task that are worked on at once, and at most answered in one transaction."""
THREADS = 8
"""Threads in which they are answered."""
BATCH_S = 0.1
"""How long answers that are ready wait for slower ones of their batch."""


class KnownInstrument(State):
    """Reference data that this task has read."""

    instrument: Instrument | None = None


class StepInbox:
    """Hand over steps in bounded batches; what could not be answered yet comes again, once in each turn."""

    def __init__(self) -> None:
        self._fresh: deque[Event] = deque()
        self.left: Sequence[Event] = ()
        """Handed over and not handled yet."""
        self._again = False

    def offer(self, event: Event) -> None:
        """Take one record in."""
        self._fresh.append(event)

    def next(self) -> Work | None:
        """Return what was left and fresh records; None where there is neither, or only what was left a moment ago."""
        count = min(len(self._fresh), MAX_BATCH - len(self.left))
        fresh = [self._fresh.popleft() for _ in range(count)]
        self._again = not fresh and bool(self.left) and not self._again
        return Work(None, None, [*self.left, *fresh]) if fresh or self._again else None


class StepProcessor:
    """A pool's step answers, for one task: in threads, so that the event loop stays free.

    The steps of a batch are answered at the same time and committed together; a slow one is left to a later batch.
    """

    owned: tuple[str, ...] = ("steps",)
    broadcast: tuple[str, ...] = ("instruments",)

    def __init__(self, pool: AgentPool, memory: Memory | None = None) -> None:
        self._pool = pool
        self._memory = memory
        self.pool = f"{pool.name}.steps"
        self.only = {"steps": ("agent_pool", frozenset({pool.address, pool.name}))}
        """Steps for other pools are passed over."""
        self._instruments: dict[str, Instrument] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=self.pool)
        self._answers: dict[str, asyncio.Task[Answer | Exception]] = {}

    @property
    def problem(self) -> str:
        """Return what keeps the pool from answering; empty where nothing does."""
        return self._pool.problem

    def inbox(self, task: Task) -> Inbox:
        """Begin anew: nothing of an uncommitted batch counts; recall the instruments."""
        for answer in self._answers.values():
            answer.cancel()
        self._answers = {}
        self._written, self._loaded = Written(task.serde), Loaded(task.broker, task.serde)
        for key in task.states.keys(KnownInstrument):
            self._learn(task.states.get(KnownInstrument, key).instrument)
        self._inbox = StepInbox()
        return self._inbox

    def _learn(self, instrument: Instrument | None) -> None:
        if instrument is not None:
            self._instruments[instrument.instrument_id] = instrument

    def due(self, task: Task) -> Sequence[Output]:
        """Return nothing: the orchestrator keeps the time of steps."""
        return ()

    async def process(self, work: Work, task: Task) -> Outputs:
        """Answer the steps addressed to this pool; a failing one is answered with StepFailed."""
        asked: dict[str, tuple[Event, RunStep]] = {}
        again: list[Event] = []
        for event in work.events:
            message = event.message
            if isinstance(message, Instrument):
                task.states.get(KnownInstrument, message.instrument_id).instrument = message
                self._learn(message)
            elif isinstance(message, RunStep):
                name = event.envelope.message_id
                if name in asked:
                    again.append(event)  # one batch would give its answer another id
                else:
                    asked[name] = event, message
        await self._work_on(asked)
        ready = [(event, step) for name, (event, step) in asked.items() if self._answers[name].done()]
        slow = [event for name, (event, _) in asked.items() if not self._answers[name].done()]
        self._inbox.left = [*slow, *again]
        return self._told(ready, task, self._inbox.left)

    async def _work_on(self, asked: Mapping[str, tuple[Event, RunStep]]) -> None:
        """Begin what is new and wait a bounded time for it; what was left before is not waited for besides."""
        fresh = [name for name in asked if name not in self._answers]
        for name in fresh:
            self._answers[name] = asyncio.create_task(self._answer(*asked[name]), name=f"{self.pool} {name}")
        awaited = [self._answers[name] for name in fresh or asked]
        if awaited:
            when = asyncio.ALL_COMPLETED if fresh else asyncio.FIRST_COMPLETED
            await asyncio.wait(awaited, timeout=BATCH_S, return_when=when)

    async def _answer(self, event: Event, step: RunStep) -> Answer | Exception:
        IN_HAND.set(event)  # of this asyncio task alone
        try:
            inputs = await self._inputs(step)
            loop = asyncio.get_running_loop()
            access = MemoryAccess(self._memory, loop) if self._memory else None
            return await loop.run_in_executor(self._threads, copy_context().run, self._called, step, inputs, access)
        except Exception as error:
            return error

    async def _inputs(self, step: RunStep) -> Inputs:
        found: list[Reference] = []
        for result in step.inputs.values():
            found += [Reference.model_validate(value) for value in result.values() if is_reference(value)]
        blocks = [block for reference in found for block in await self._loaded.get(reference)]
        return Inputs(step.inputs, tuple(blocks))

    def _called(self, step: RunStep, inputs: Inputs, access: MemoryAccess | None) -> Answer:
        function = self._pool.answer(step.action)
        timeout_s = (step.deadline - step.ts_event) / 1e9
        context = StepContext(step.workflow_id, step.step_id, step.ts_event, timeout_s, self._instruments, access)
        result = function(*_arguments(function, step.parameters, inputs, context))
        answer = result if isinstance(result, Answer) else Answer(result)
        _check_size(step, answer.result)
        for value in answer.result.values():
            if isinstance(value, Rows):
                self._written.hash(value)  # here, where it may take its time, and fail
        return answer

    def _told(self, ready: Sequence[tuple[Event, RunStep]], task: Task, left: Sequence[Event]) -> Outputs:
        """Return the answers of a batch; rows that are not on the topic yet go before them."""
        blocks: list[Output] = []
        others: list[Output] = []
        told: list[tuple[Event, RunStep, Answer | Exception]] = []
        new: dict[str, tuple[Rows, str, int]] = {}
        now = task.clock.now()
        for event, step in ready:
            cause = event.envelope.message_id
            answer = self._answers.pop(cause).result()
            told.append((event, step, answer))
            if isinstance(answer, Exception):
                continue
            others += [Output(message, cause, step.workflow_id, key=key) for key, message in answer.events]
            for rows in (value for value in answer.result.values() if isinstance(value, Rows)):
                sha256 = self._written.hash(rows)
                if sha256 not in new and self._written.find(sha256, now) is None:
                    new[sha256] = rows, cause, len(blocks)
                    blocks += [Output(block, cause, step.workflow_id, topic=HISTORY.name) for block in rows.blocks]

        def follow(placed: Sequence[int]) -> list[Output]:
            for sha256, (rows, cause, begin) in new.items():
                offsets = placed[begin : begin + len(rows.blocks)]
                partitions = task.partitions["instrument"]
                self._written.note(refer(rows.blocks, offsets, partitions, cause=cause, sha256=sha256), now)
            return [self._message(event, step, answer, task) for event, step, answer in told]

        if blocks:
            return Outputs([*blocks, *others], follow, left)
        return Outputs([*others, *follow(())], None, left)

    def _message(self, event: Event, step: RunStep, answer: Answer | Exception, task: Task) -> Output:
        if isinstance(answer, Exception):
            return _failed(step, answer, event, task)
        result = {
            key: self._written.last(value).model_dump() if isinstance(value, Rows) else value
            for key, value in answer.result.items()
        }
        return _completed(step, result, event, task)


def _arguments(function: Any, parameters: dict[str, Any], inputs: Inputs, context: StepContext) -> list[Any]:
    values: list[Any] = []
    for index, (name, want) in enumerate(_annotations(function)):
        if want is Inputs:
            values.append(inputs)
        elif want is StepContext:
            values.append(context)
        elif index == 0:
            values.append(_parameters(want, parameters))
        else:
            raise ConfigError(f"{function.__name__}: {name} must be annotated with Inputs or StepContext")
    return values


@lru_cache(maxsize=1024)
def _annotations(function: Callable[..., Any]) -> tuple[tuple[str, Any], ...]:
    hints = get_type_hints(function)
    return tuple((name, hints.get(name, dict)) for name in inspect.signature(function).parameters)


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


def _completed(step: RunStep, result: dict[str, Any], event: Event, task: Task) -> Output:
    message = StepCompleted(
        workflow_id=step.workflow_id,
        step_id=step.step_id,
        attempt=step.attempt,
        result=result,
        ts_event=task.clock.now(),
    )
    return _answer_to(event, message, task)


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
    return _answer_to(event, message, task)


def _answer_to(event: Event, message: StepCompleted | StepFailed, task: Task) -> Output:
    cause = event.envelope.message_id
    # Its own id, whether rows were written before it or stood there already.
    name = derive_id(cause, task.processor.pool, type(message).__name__)
    return Output(message, cause, message.workflow_id, message_id=name)
