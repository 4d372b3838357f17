"""A world for the orchestrator on Kafka: topics, what is read from them, processes, and pools played by hand."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

from orchestrator.settings import Settings
from orchestrator.wiring import all_kinds, broker_of, context_of, partitions_of, pools_of
from schemas import ExecuteWorkflow, Message, RunStep, StepCompleted, StepSpec, Workflow
from streams.broker import Broker
from streams.host import create_topology
from streams.ids import derive_id
from streams.record import Envelope, Event, Record
from streams.serde import Serde
from streams.tail import Tail, tail
from streams.topics import topic_of

POOL = "test_agent_pool"
WATCHED = ("steps", "workflows", "results", "strategies")


def settings_of(
    bootstrap: str, prefix: str, partitions: int = 2, replication: int = 1, **orchestrator: int
) -> Settings:
    """Return settings for some partitions of workflows and copies of each; orchestrator: its own section."""
    counts = {"account": 1, "instrument": 1, "workflow": partitions} if replication > 1 else {"workflow": partitions}
    kafka = {"bootstrap": bootstrap, "prefix": prefix, "partitions": counts, "replication": replication}
    return Settings.from_dict({"kafka": kafka, "agent_pools": {POOL: {}}, "orchestrator": orchestrator})


def step(step_id: str, *depends_on: str, **given: Any) -> StepSpec:
    return StepSpec(step_id=step_id, agent_pool=POOL, action="do", depends_on=depends_on, **given)


def command(workflow_id: str, *steps: StepSpec) -> ExecuteWorkflow:
    return ExecuteWorkflow(workflow_id=workflow_id, ts_event=time.time_ns(), steps=steps)


def record_of(message: Message, message_id: str, serde: Serde) -> Record:
    """Return the record of a message as a client or pool would write it."""
    topic = topic_of(type(message))
    key = str(getattr(message, topic.key))
    envelope = Envelope(message_id, type(message).__name__, "test", time.time_ns(), key, "")
    headers = [header for header in envelope.headers() if header[0] != "causation_id"]
    return Record(topic.name, key, serde.encode(message), [*headers, ("causation_id", b"test")])


class World:
    """Publishes, watches and starts processes."""

    def __init__(self, settings: Settings, broker: Broker, watch: Tail, serde: Serde) -> None:
        self.settings = settings
        self.broker = broker
        self.watch = watch
        self.serde = serde
        self.processes: list[asyncio.subprocess.Process] = []

    async def start(self, fault: str = "none", at: int = 0) -> asyncio.subprocess.Process:
        """Start an orchestrator process; fault: what happens to it at its commit of this number."""
        module = "tests.integration.orchestrator_process"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, self.settings.model_dump_json(), fault, str(at)),
            stdout=asyncio.subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    async def say(self, message: Message) -> None:
        """Publish a message under an id of its own."""
        await self.broker.publish([record_of(message, derive_id(repr(message), "test"), self.serde)])

    async def answer(self, event: Event) -> None:
        """Answer a step as its pool would."""
        asked = event.message
        assert isinstance(asked, RunStep)
        named = {"workflow_id": asked.workflow_id, "step_id": asked.step_id, "attempt": asked.attempt}
        await self.say(StepCompleted(**named, result={"of": asked.step_id}, ts_event=asked.ts_event))

    async def asked(self, workflow_id: str, step_id: str, attempt: int = 1) -> Event:
        """Wait until a step is asked for, and return the first such event."""
        wanted = (workflow_id, step_id, attempt)
        await self.until(lambda: wanted in self.ids, f"the step {wanted}")
        return next(event for event in self.watch.events if _attempt(event.message) == wanted)

    async def ended(self, workflow_id: str) -> Workflow:
        """Wait until a workflow ended, and return it."""
        await self.until(lambda: self.state(workflow_id) is not None, f"the end of {workflow_id}")
        found = self.state(workflow_id)
        assert found is not None
        return found

    def state(self, workflow_id: str) -> Workflow | None:
        """Return the newest state of a workflow that has ended, else None."""
        states = [m for e in self.watch.events if isinstance(m := e.message, Workflow) and m.workflow_id == workflow_id]
        return states[-1] if states and states[-1].status != "running" else None

    @property
    def ids(self) -> dict[tuple[str, str, int], set[str]]:
        """Return the message ids under which each attempt was asked for."""
        found = defaultdict(set)
        for event in self.watch.events:
            if attempt := _attempt(event.message):
                found[attempt].add(event.envelope.message_id)
        return found

    async def until(self, done: Callable[[], bool], what: str) -> None:
        """Read on until a condition holds."""
        await self.watch.until(done, 60, what)


async def members(settings: Settings, count: int) -> None:
    """Wait until the orchestrators' group has its members and each its partitions."""
    group = settings.kafka.prefix + "orchestrator"
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    await admin.start()
    try:
        async with asyncio.timeout(60):
            while True:
                (described,) = await admin.describe_consumer_groups([group])
                (_, _, state, _, _, present, *_) = described.groups[0]
                if state == "Stable" and len(present) == count:
                    return
                await asyncio.sleep(0.1)  # a group has no event to wait for
    finally:
        await admin.close()


def _attempt(message: Message) -> tuple[str, str, int] | None:
    return (message.workflow_id, message.step_id, message.attempt) if isinstance(message, RunStep) else None


@asynccontextmanager
async def world_of(settings: Settings) -> AsyncIterator[World]:
    """Make the topics; end all processes in the end."""
    broker, serde = broker_of(settings), Serde()
    await broker.start()
    try:
        kinds = all_kinds(pools_of(settings), context_of(settings))
        await create_topology(broker, partitions_of(settings), kinds)
        async with tail(broker, serde, WATCHED, from_beginning=True) as watch:
            world = World(settings, broker, watch, serde)
            try:
                yield world
            finally:
                for process in world.processes:
                    if process.returncode is None:
                        process.kill()
                    await process.communicate()
    finally:
        await broker.stop()
