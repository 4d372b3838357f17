"""A client of the control plane: submits commands and knows the latest state of workflows and runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

from schemas import Command, Message, StrategyStarted, StrategyStopped, Workflow
from streams.broker import Broker, Reader
from streams.clock import Clock
from streams.errors import DecodeError, WorkflowError
from streams.ids import derive_id
from streams.record import Envelope, Record, TopicPartition
from streams.serde import Serde
from streams.topics import COMMANDS, STRATEGIES, WORKFLOWS


class Client:
    """Submits commands, follows `workflows` and `strategies`."""

    def __init__(self, broker: Broker, serde: Serde, clock: Clock) -> None:
        self._broker = broker
        self._serde = serde
        self._clock = clock
        self._changed = asyncio.Condition()
        self.workflows: dict[str, Workflow] = {}
        """Latest state by workflow_id."""
        self.runs: dict[str, StrategyStarted] = {}
        """Active runs by run_id."""

    @classmethod
    @asynccontextmanager
    async def open(cls, broker: Broker, serde: Serde, clock: Clock) -> AsyncIterator[Self]:
        """Catch up with the topics, then follow them until the block ends."""
        client = cls(broker, serde, clock)
        counts = await broker.topics()
        places = [TopicPartition(name, p) for name in (WORKFLOWS.name, STRATEGIES.name) for p in range(counts[name])]
        ends = await broker.ends(places)
        async with broker.reader(await broker.beginnings(places)) as reader:
            while any(reader.position(place) < end for place, end in ends.items()):
                await client._read(reader)
            following = asyncio.create_task(client._follow(reader), name="client")
            try:
                yield client
            finally:
                following.cancel()
                await asyncio.wait([following])

    async def _follow(self, reader: Reader) -> None:
        while True:
            await self._read(reader)

    async def _read(self, reader: Reader) -> None:
        records = await reader.poll(0.5)
        for record in records:
            try:
                self._learn(self._serde.decode(record.value))
            except DecodeError:
                continue
        if records:
            async with self._changed:
                self._changed.notify_all()

    def _learn(self, message: Message) -> None:
        if isinstance(message, Workflow):
            known = self.workflows.get(message.workflow_id)
            if known is None or message.ts_event >= known.ts_event:
                self.workflows[message.workflow_id] = message
        elif isinstance(message, StrategyStarted):
            self.runs[message.run_id] = message
        elif isinstance(message, StrategyStopped):
            self.runs.pop(message.run_id, None)

    async def submit(self, command: Command) -> str:
        """Publish a command; its id derives from its workflow_id and type, so that submitting it twice is once."""
        kind = type(command).__name__
        message_id = derive_id(command.workflow_id, "client", kind)
        now = self._clock.now()
        envelope = Envelope(message_id, kind, "client", now, command.workflow_id, message_id)
        record = Record(
            COMMANDS.name,
            command.workflow_id,
            self._serde.encode(command),
            envelope.headers(),
            timestamp_ms=now // 1_000_000,
        )
        await self._broker.publish([record])
        return message_id

    async def wait(self, workflow_id: str, timeout_s: float) -> Workflow:
        """Return a workflow once it has ended; raise WorkflowError where it has not within the time limit."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: self._ended(workflow_id))
        except TimeoutError:
            known = self.workflows.get(workflow_id)
            where = f"it is {known.status}" if known else "no orchestrator has taken it up"
            raise WorkflowError(f"workflow {workflow_id!r} did not end within {timeout_s:g} s: {where}") from None
        return self.workflows[workflow_id]

    async def until(self, condition: Callable[[], bool], what: str, timeout_s: float = 30) -> None:
        """Wait until a condition on workflows and runs holds; raise WorkflowError that says what was waited for."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            raise WorkflowError(f"waited {timeout_s:g} s for {what}") from None

    def _ended(self, workflow_id: str) -> bool:
        return workflow_id in self.workflows and self.workflows[workflow_id].status != "running"
