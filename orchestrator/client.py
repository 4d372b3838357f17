"""A client of the control plane: submits commands and knows the latest state of workflows and runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

from orchestrator.policies import check_strategy
from orchestrator.retention import DEFAULT, Ended, Retention
from schemas import (
    CancelWorkflow,
    Command,
    ExecuteStrategy,
    KillSwitchSet,
    Message,
    SetKillSwitch,
    StartStrategy,
    StrategyStarted,
    StrategyStopped,
    Workflow,
)
from streams import tracing
from streams.broker import Broker, Reader
from streams.clock import Clock
from streams.errors import BrokerError, DecodeError, WorkflowError
from streams.ids import derive_id
from streams.record import Envelope, Received, Record, TopicPartition
from streams.serde import Serde
from streams.topics import COMMANDS, STRATEGIES, WORKFLOWS

log = logging.getLogger("finagent.client")
AGAIN_S = 0.5
"""How long a client waits before it asks a broker again that did not answer, in seconds."""
MAX_WORDS = 10_000
"""Words of operators that a client remembers."""


class Client:
    """Submits commands, follows `workflows` and `strategies`; forgets ended workflows beyond its retention."""

    def __init__(self, broker: Broker, serde: Serde, clock: Clock, retention: Retention = DEFAULT) -> None:
        self._broker = broker
        self._serde = serde
        self._clock = clock
        self._ended = Ended(retention)
        self._running: set[str] = set()
        self._waiting: dict[str, set[asyncio.Future[Workflow]]] = {}
        self._conditions: set[tuple[Callable[[], bool], asyncio.Future[None]]] = set()
        self.workflows: dict[str, Workflow] = {}
        """Latest state by workflow_id, of those that are not forgotten."""
        self.runs: dict[str, StrategyStarted] = {}
        """Active runs by run_id."""
        self.accounts: dict[str, str] = {}
        """Account of every run that was ever seen, by run_id."""
        self.words: dict[str, KillSwitchSet] = {}
        """What operators said of kill switches, by the command's message id, oldest first."""
        self.submitted: set[str] = set()
        """Workflows of this client that no orchestrator has told of yet."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, broker: Broker, serde: Serde, clock: Clock, retention: Retention = DEFAULT
    ) -> AsyncIterator[Self]:
        """Catch up with the topics, then follow them until the block ends."""
        client = cls(broker, serde, clock, retention)
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

    @property
    def in_flight(self) -> int:
        """Return how many workflows run or were submitted here and not taken up yet."""
        return len(self._running) + len(self.submitted)

    @property
    def halted(self) -> dict[str, KillSwitchSet]:
        """Return the last word on each account that an operator halted, by account_id."""
        last = {word.account_id: word for word in self.words.values()}
        return {account_id: word for account_id, word in last.items() if word.active}

    async def _follow(self, reader: Reader) -> None:
        while True:
            try:
                await self._read(reader)
            except BrokerError as error:
                log.warning("the states of workflows are read on once the broker answers: %s", error)
                await asyncio.sleep(AGAIN_S)

    async def _read(self, reader: Reader) -> None:
        records = await reader.poll(0.5)
        for record in records:
            self._take(record)
        for workflow_id in self._ended.due(self._clock.now()):
            self._forget(workflow_id)
        for condition, met in self._conditions if records else ():
            if not met.done() and condition():
                met.set_result(None)

    def _take(self, record: Received) -> None:
        if record.value is None and record.topic == WORKFLOWS.name:
            self._forget(record.key)
            return
        try:
            self._learn(self._serde.decode(record.value))
        except DecodeError as error:
            log.warning("%s is passed over: %s", record.place, error)

    def _forget(self, workflow_id: str) -> None:
        self._ended.forget(workflow_id)
        self._running.discard(workflow_id)
        self.workflows.pop(workflow_id, None)

    def _learn_workflow(self, workflow: Workflow) -> None:
        name = workflow.workflow_id
        self.submitted.discard(name)
        known = self.workflows.get(name)
        if known is not None and workflow.ts_event < known.ts_event:
            return
        self.workflows[name] = workflow
        self._ended.note(workflow)
        if workflow.status == "running":
            self._running.add(name)
            return
        self._running.discard(name)
        for waiting in self._waiting.get(name, ()):
            if not waiting.done():
                waiting.set_result(workflow)

    def _learn(self, message: Message) -> None:
        if isinstance(message, Workflow):
            self._learn_workflow(message)
        elif isinstance(message, StrategyStarted):
            self.runs[message.run_id] = message
            self.accounts[message.run_id] = message.account_id
        elif isinstance(message, StrategyStopped):
            self.runs.pop(message.run_id, None)
        elif isinstance(message, KillSwitchSet):
            self.words.setdefault(message.command_id, message)
            if len(self.words) > MAX_WORDS:
                del self.words[next(iter(self.words))]

    async def submit(self, command: Command) -> str:
        """Publish a command; its id derives from its workflow_id and type, so that submitting it twice is once.

        Kill switches of one account share a workflow_id: theirs derives from the time too. Raises what check_strategy
        does where a strategy's policy cannot serve it.
        """
        if isinstance(command, ExecuteStrategy | StartStrategy):
            await check_strategy(self._broker, self._serde, command.strategy)
        kind = type(command).__name__
        apart = (command.ts_event, command.active) if isinstance(command, SetKillSwitch) else ()
        message_id = derive_id(command.workflow_id, "client", kind, *apart)
        if command.workflow_id not in self.workflows and not isinstance(command, CancelWorkflow):
            self.submitted.add(command.workflow_id)
        now = self._clock.now()
        context = tracing.sent(f"submit {kind}", {"messaging.message.conversation_id": command.workflow_id})
        envelope = Envelope(message_id, kind, "client", now, command.workflow_id, message_id, traceparent=context)
        record = Record(
            COMMANDS.name,
            command.workflow_id,
            self._serde.encode(command),
            envelope.headers(),
            timestamp_ms=now // 1_000_000,
        )
        try:
            await self._broker.publish([record])
        except BaseException:
            self.submitted.discard(command.workflow_id)
            raise
        return message_id

    async def wait(self, workflow_id: str, timeout_s: float) -> Workflow:
        """Return a workflow once it has ended; raise WorkflowError where it has not within the time limit."""
        known = self.workflows.get(workflow_id)
        if known is not None and known.status != "running":
            return known
        ended: asyncio.Future[Workflow] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(workflow_id, set())
        waiting.add(ended)
        try:
            async with asyncio.timeout(timeout_s):
                return await ended
        except TimeoutError:
            known = self.workflows.get(workflow_id)
            where = f"it is {known.status}" if known else "no orchestrator has taken it up"
            raise WorkflowError(f"workflow {workflow_id!r} did not end within {timeout_s:g} s: {where}") from None
        finally:
            waiting.discard(ended)
            if not waiting:
                self._waiting.pop(workflow_id, None)

    async def until(self, condition: Callable[[], bool], what: str, timeout_s: float = 30) -> None:
        """Wait until a condition on workflows and runs holds; raise WorkflowError that says what was waited for."""
        if condition():
            return
        met: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (condition, met)
        self._conditions.add(entry)
        try:
            async with asyncio.timeout(timeout_s):
                await met
        except TimeoutError:
            raise WorkflowError(f"waited {timeout_s:g} s for {what}") from None
        finally:
            self._conditions.discard(entry)
