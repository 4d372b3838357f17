"""The learner of a training: takes its actors' chunks off the log, each once, learns, and publishes policies.

A turn learns from some chunks, and then commits in one transaction how far it has come, in which order it took them,
and the policy that came of it. So the log decides everything: a learner that was killed begins at its last checkpoint,
takes the same chunks in the same order, and has the same buffer and the same weights.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rl import checkpoint
from rl.algorithm import Algorithm, make
from rl.collector import Episode
from rl.config import RLConfiguration
from rl.ingest import Chunk, Intake, chunk_of
from rl.learner_log import Batch, LearnerLog, check_new
from rl.learner_state import LearnerState, Plan
from rl.learning import SLICE, OffPolicyLearning
from rl.policy import Policy
from rl.published import PLACE, Policies, publication
from rl.rebuild import chunks, rebuild
from rl.records import Records
from rl.rows import Float32, Layout
from rl.streaming import LEARNER, learner_task, partitions_of_transitions
from rl.training import Progress
from rl.weights import sha256
from streams.broker import Broker
from streams.clock import Clock
from streams.dead_letters import Refusal, dead_letter
from streams.errors import BrokerError, ConfigError, DecodeError, Fenced, MissingData
from streams.record import Received, Record, TopicPartition
from streams.serde import Serde
from streams.store import Store
from streams.topics import TRANSITIONS

log = logging.getLogger("finagent.rl")
T = TypeVar("T")
Make = Callable[[RLConfiguration, Layout, Float32, Float32], Algorithm]
RETRIES = 5
"""Attempts to go on after the broker failed, before the learner gives up."""
POLL_S = 0.2
COMMIT_S = 0.1
"""A turn that has learned for this long is committed once the chunk in hand is done."""
MAX_POLICY_BYTES = 900_000
"""Weights that fit a record together with what is told of them."""
MAX_RECORDS = 64
"""Chunks that are read at once."""
PASS_S = 1.0
"""How far other trainings' chunks were passed over is committed this often, s."""


@dataclass
class Learner:
    """One training's learner; another one of the same training fences it.

    run() returns when the training is done or stop is set, and raises Fenced where another learner took over.
    """

    broker: Broker
    plan: Plan
    folder: Path
    """Where its checkpoint is."""
    clock: Clock
    serde: Serde = field(default_factory=Serde)
    resume: bool = False
    """True: go on where the training stood, or begin it; False: it must be a new one."""
    on_progress: Callable[[Progress], None] = lambda progress: None
    make: Make = make
    store: Store | None = None
    """Where the training's records are kept; None: nowhere."""
    state: LearnerState = field(init=False)
    """What it has learned so far."""

    def __post_init__(self) -> None:
        self.state = self._fresh()

    @property
    def id(self) -> str:
        """Return its transactional id."""
        return learner_task(self.plan.training_id)

    def policy(self) -> Policy:
        """Return the policy as it is now."""
        return self.state.algorithm.policy().copy()

    async def run(self, stop: asyncio.Event) -> None:
        """Learn until the training is done or stop is set; where the broker fails, begin again at the log's word."""
        _check_size(self.policy())
        own = LearnerLog(self.broker, self.plan.training_id, self.serde, self.clock)
        if not self.resume:
            check_new(await own.exists() or (self.folder / checkpoint.LATEST).exists(), self.plan.training_id)
        async with self._recorded():
            await self._train(stop)

    @asynccontextmanager
    async def _recorded(self) -> AsyncIterator[None]:
        """Keep the training's records until the block ends."""
        if self.store is None:
            yield
            return
        records = Records(self.broker, self.store, self.plan.training_id, self.plan.layout, self.serde)
        stop = asyncio.Event()
        keeping = asyncio.create_task(records.run(stop))
        try:
            yield
        finally:
            stop.set()
            await keeping

    async def _train(self, stop: asyncio.Event) -> None:
        failures = 0
        while True:
            before = self.state.learning.transitions
            try:
                with ThreadPoolExecutor(1, "learner") as thread:
                    return await _Ownership(self, thread).run(stop)
            except Fenced:
                raise
            except BrokerError as error:
                failures = 1 if self.state.learning.transitions > before else failures + 1
                if failures > RETRIES:
                    raise
                log.warning("%s: %s; trying again", self.id, error)
                await asyncio.sleep(min(0.2 * 2**failures, 5))
                self.state = self._fresh()

    def _fresh(self) -> LearnerState:
        plan = self.plan
        return LearnerState(plan, self.make(plan.config, plan.layout, plan.low, plan.high))


class _Ownership:
    """A learner from taking its training over to giving it up."""

    def __init__(self, learner: Learner, thread: ThreadPoolExecutor) -> None:
        self._learner = learner
        self._thread = thread
        self._broker, self._serde, self._clock = learner.broker, learner.serde, learner.clock
        self._plan, self._state = learner.plan, learner.state
        self._log = LearnerLog(self._broker, self._plan.training_id, self._serde, self._clock)
        self._waiting: deque[Received] = deque()
        self._taken: list[tuple[int, int]] = []
        self._ended: list[Episode] = []
        self._letters: list[Record] = []
        self._settled: dict[TopicPartition, int] = {}
        """Below these offsets everything is learned from, or left out."""
        self._intake: dict[str, Any] = {}
        """What was taken below them."""
        self._transitions = 0
        """Those of the chunks below them."""
        self._changed = False
        self._last = dict.fromkeys(("publication", "commit", "checkpoint"), self._clock.now())
        """When each was last done, ns UTC."""

    async def run(self, stop: asyncio.Event) -> None:
        """Take over, and learn until it is done or stop is set; a checkpoint is written at the end."""
        async with self._broker.transactions(self._learner.id) as self._transactions:
            await self._restore()
            async with self._broker.reader(self._settled) as self._reader:
                if self._state.publication_due():
                    await self._commit(publish=True)
                while not stop.is_set() and not self._state.done:
                    await self._turn()
                await self._commit(publish=self._state.algorithm.updates > max(self._state.published_updates, 0))
                await self._save()

    async def _restore(self) -> None:
        state, plan = self._state, self._plan
        batches = await self._log.take_over(self._transactions, plan.fixed())
        count = await partitions_of_transitions(self._broker)
        places = [TopicPartition(TRANSITIONS.name, partition) for partition in range(count)]
        self._settled = await self._broker.beginnings(places)
        index = await self._load()
        later = self._log.after(index, batches)
        if isinstance(state.learning, OffPolicyLearning):
            for batch in later:
                await self._again(batch)
        for batch in later:
            state.version = max(state.version, batch.version)
        self._intake, self._transitions = state.intake.state(), state.learning.transitions
        async with self._broker.reader(await self._broker.beginnings([PLACE])) as reader:
            said = Policies(self._broker, reader, self._serde, plan.training_id)
            await said.catch_up()
        state.version = max(state.version, said.version)
        state.history = list(said.metadata.get("history", []))
        if index or later:
            far = (self._transitions, state.algorithm.updates)
            log.info("%s goes on after %d transitions, %d updates", self._learner.id, *far)

    async def _load(self) -> int:
        """Take the checkpoint up, where there is one; return the index of the first batch that is not in it."""
        try:
            arrays, told = await self._aside(lambda: checkpoint.load(self._learner.folder))
        except MissingData:
            return 0
        self._state.restore(arrays, told)
        if isinstance(self._state.learning, OffPolicyLearning):
            await rebuild(self._state, told["transitions"], self._broker, self._serde)
            self._state.restore_replay(arrays, told)
        self._settled |= {TopicPartition(TRANSITIONS.name, int(p)): at for p, at in told["positions"].items()}
        return int(told["batches"])

    async def _again(self, batch: Batch) -> None:
        """Take the chunks of a batch as they were taken before."""
        spans = [(partition, offset, offset + 1) for partition, offset in batch.chunks]
        async for _, chunk in chunks(self._broker, self._serde, self._plan, spans):
            self._state.insert(chunk)
            while self._state.learning.due():
                await self._aside(lambda: self._state.learn(SLICE))
        self._state.intake = Intake.restored(batch.intake)
        self._settled |= {TopicPartition(TRANSITIONS.name, p): at for p, at in batch.positions.items()}

    async def _turn(self) -> None:
        """Learn from what is there for a while, then commit."""
        if not self._waiting:
            self._reader.resume(list(self._settled))
            records = await self._reader.poll(POLL_S, MAX_RECORDS)
            await self._serde.learn(record.value for record in records)
            self._waiting.extend(records)
        loop = asyncio.get_running_loop()
        until = loop.time() + COMMIT_S
        while self._waiting and loop.time() < until and not self._publication_due() and not self._state.done:
            record = self._waiting.popleft()
            # A commit while the chunk is learned from knows nothing of it, so it counts as a change only now.
            self._changed = await self._handle(record) or self._changed
            self._settled[TopicPartition(record.topic, record.partition)] = record.offset + 1
            self._intake, self._transitions = self._state.intake.state(), self._state.learning.transitions
        if not self._waiting:
            self._settled = {place: self._reader.position(place) for place in self._settled}
        if self._changed or self._publication_due() or self._since("commit") > PASS_S:
            await self._commit(publish=self._publication_due())
        if self._since("checkpoint") > self._plan.streaming.checkpoint_every_s:
            await self._save()

    async def _handle(self, record: Received) -> bool:
        """Learn from a record or leave it out; return whether it was the training's."""
        try:
            chunk = chunk_of(record, self._serde, self._plan.training_id, self._plan.layout)
        except DecodeError as error:
            log.warning("%s: dead letter %s: %s", self._learner.id, record.place, error)
            now_ms = self._clock.now() // 1_000_000
            self._letters.append(dead_letter(record, Refusal(str(error), error.kind, LEARNER, now_ms)))
            self._state.intake.count("malformed")
            self._state.segments.close(record.partition)
            return True
        if chunk is not None and self._state.accepts(chunk):
            await self._learn(chunk)
        else:
            self._state.segments.close(record.partition)
        return chunk is not None

    async def _learn(self, chunk: Chunk) -> None:
        """Take a chunk in and do all updates that are due by it; nothing more is read until they are done.

        A version that is due meanwhile is published at once; the chunk is committed after its last update.
        """
        self._state.insert(chunk)
        if self._state.learning.due():
            self._reader.pause(list(self._settled))
        while self._state.learning.due():
            if self._publication_due():
                await self._commit(publish=True)
            await self._aside(lambda: self._state.learn(SLICE))
        if isinstance(self._state.learning, OffPolicyLearning):
            self._taken.append((chunk.partition, chunk.offset))
        self._ended += chunk.episodes

    def _publication_due(self) -> bool:
        every = self._plan.streaming.publish_every_s
        late = every > 0 and self._since("publication") > every
        learned = self._state.algorithm.updates > self._state.published_updates >= 0
        return self._state.publication_due() or (late and learned)

    async def _commit(self, *, publish: bool) -> None:
        state, records = self._state, list(self._letters)
        if publish:
            records.append(await self._policy())
        positions = {place.partition: at for place, at in self._settled.items()}
        batch = Batch(chunks=tuple(self._taken), positions=positions, intake=self._intake, version=state.version)
        await self._transactions.commit([*records, self._log.add(batch)], self._settled)
        self._last["commit"] = self._clock.now()
        ended, self._taken, self._letters, self._ended = tuple(self._ended), [], [], []
        self._changed = False
        updates = state.algorithm.updates
        self._learner.on_progress(Progress(self._transitions, state.episodes, updates, ended, state.figures))

    async def _policy(self) -> Record:
        """Return the record of the next version."""
        state, now = self._state, self._clock.now()
        policy = await self._aside(lambda: state.algorithm.policy().copy())
        state.published(state.version + 1, sha256(policy.pack()))
        told = {"updates": state.algorithm.updates, "transitions": state.learning.transitions}
        metadata = {
            **told,
            "figures": {name: float(value) for name, value in state.figures.items()},
            "history": state.history,
            "priorities": state.priorities(),
        }
        self._last["publication"] = now
        return publication(self._plan.training_id, policy, state.version, metadata, self._serde, now)

    async def _save(self) -> None:
        """Write a checkpoint of what is committed, then take the batches that it holds off the log."""
        arrays, told = await self._aside(self._state.save)
        positions = {str(place.partition): at for place, at in self._settled.items()}
        more = {"batches": self._log.next, "positions": positions}
        name = f"batch-{self._log.next}"
        await self._aside(lambda: checkpoint.save(self._learner.folder, name, arrays, {**told, **more}))
        if gone := self._log.forget():
            await self._transactions.commit(gone)
        self._last["checkpoint"] = self._clock.now()

    async def _aside(self, work: Callable[[], T]) -> T:
        """Run work that takes the processor in the thread that does all of it."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _since(self, what: str) -> float:
        """Return how long ago something was last done, s."""
        return (self._clock.now() - self._last[what]) / 1e9


def _check_size(policy: Policy) -> None:
    if (size := len(policy.pack())) > MAX_POLICY_BYTES:
        raise ConfigError(
            f"the policy has {size} bytes, and a record takes {MAX_POLICY_BYTES}: choose a smaller net_arch, or train "
            "in one process"
        )
