"""An actor: steps its environments by the newest policy of its training, and puts what happens on the log.

One process acts under a name: its transactional id fences another one before that begins. Its epoch is the offset of
the record by which it said that it starts, so that no two starts share one, whatever was lost.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rl.collector import Collector, Episode
from rl.config import RLConfiguration
from rl.published import PLACE, Followed, Policies
from rl.rows import Float32
from rl.streaming import (
    ACTOR,
    MAX_CHUNK_BYTES,
    Streaming,
    actor_task,
    learner_task,
    partitions_of_transitions,
    saved,
)
from schemas import TransitionsRecorded
from schemas.message import canonical_json
from streams.broker import Broker, Transactions, partition_of
from streams.clock import Clock
from streams.errors import BrokerError, ConfigError, Fenced
from streams.ids import derive_id
from streams.record import Envelope, Record, TopicPartition
from streams.retrying import set_within
from streams.serde import Serde
from streams.topics import TRANSITIONS

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

log = logging.getLogger("finagent.rl")
Environments = Callable[[int], "VectorEnv[Any, Any, Any]"]
"""Makes the environments; given a seed."""
RETRIES = 5
"""Attempts to go on after the broker failed, before the actor gives up."""
SLICE_S = 0.01
"""A newer policy is taken up after about so long."""
_POLL_S = 0.2
_LOOK_S = (0.005, 0.05)
"""Time between two looks at how far the learner is: at first, and at most."""


@dataclass
class Actor:
    """One actor of a training; run() returns when stop is set, and raises Fenced where another one has its name."""

    broker: Broker
    training_id: str
    actor_id: str
    config: RLConfiguration
    environments: Environments
    streaming: Streaming
    clock: Clock
    serde: Serde = field(default_factory=Serde)
    on_swap: Callable[[int], None] = lambda version: None
    """Told a policy's version when it is first acted by."""
    transitions: int = 0
    """Put on the log so far."""
    version: int = 0
    """The policy that it acts by; 0: random actions."""

    @property
    def id(self) -> str:
        """Return its transactional id."""
        return actor_task(self.training_id, self.actor_id)

    async def run(self, stop: asyncio.Event) -> None:
        """Act until stop is set; where the broker fails, start again: a chunk in doubt is not sent a second time."""
        failures = 0
        while not stop.is_set():
            before = self.transitions
            try:
                await self._own(stop)
            except Fenced:
                raise
            except BrokerError as error:
                failures = 1 if self.transitions > before else failures + 1
                if failures > RETRIES:
                    raise
                log.warning("%s: %s; starting again", self.id, error)
                await set_within(stop, min(0.2 * 2**failures, 5))

    async def _own(self, stop: asyncio.Event) -> None:
        partition = partition_of(self.actor_id, await partitions_of_transitions(self.broker))
        self.version = 0
        async with self.broker.transactions(self.id) as transactions:
            [epoch] = await transactions.commit([self._start()])
            run = _Run(self, transactions, TopicPartition(TRANSITIONS.name, partition), epoch)
            try:
                async with self.broker.reader(await self.broker.beginnings([PLACE])) as reader:
                    policies = Policies(self.broker, reader, self.serde, self.training_id)
                    await policies.catch_up()
                    await _together(run.act(policies, stop), _follow(policies))
            finally:
                await asyncio.to_thread(run.close)

    def _start(self) -> Record:
        now, key = self.clock.now(), f"{self.training_id}/{self.actor_id}"
        return saved(ACTOR, self.training_id, key, canonical_json({"started": now}), self.serde, now)


class _Run:
    """An actor from one start to its end."""

    def __init__(self, actor: Actor, transactions: Transactions, place: TopicPartition, epoch: int) -> None:
        self._actor = actor
        self._transactions = transactions
        self._place = place
        self._epoch = epoch
        self._sequence = 0
        self._sent: deque[int] = deque()
        """Offsets of chunks that the learner has not told of."""
        self._slice = 1
        self._collector: Collector | None = None

    def close(self) -> None:
        """Give the environments up."""
        if self._collector is not None:
            self._collector.envs.close()

    async def act(self, policies: Policies, stop: asyncio.Event) -> None:
        """Collect and publish until stop is set."""
        actor = self._actor
        seed = _seed(actor.config.seed, actor.training_id, actor.actor_id, self._epoch)
        self._collector = Collector(await asyncio.to_thread(actor.environments, seed), seed)
        steps = self._chunk_steps(self._collector)
        log.info("%s acts, start %d, %d environments", actor.id, self._epoch, self._collector.envs.num_envs)
        while not stop.is_set():
            if await self._room(policies, stop):
                if actor.config.algorithm.off_policy:
                    await self._chunk(policies, steps, stop)
                else:
                    await self._rollout(policies, steps, stop)

    def _chunk_steps(self, collector: Collector) -> int:
        """Return the steps of a chunk; raise ConfigError where not even one fits a record."""
        environments, width = collector.envs.num_envs, collector.layout.width
        fit = MAX_CHUNK_BYTES // (4 * width * environments)
        if not fit:
            raise ConfigError(
                f"a step of {environments} environments has {4 * width * environments} bytes, and a chunk takes "
                f"{MAX_CHUNK_BYTES}: lower num_envs"
            )
        return max(min(fit, self._actor.streaming.chunk_transitions // environments), 1)

    async def _chunk(self, policies: Policies, steps: int, stop: asyncio.Event) -> None:
        """Collect a chunk by the newest policy and publish it; a newer one ends it early."""
        used, parts, ended, left = policies.newest, list[Float32](), list[Episode](), steps
        while left and policies.newest is used and not stop.is_set():
            rows, over = await self._collect(used, left)
            parts.append(rows)
            ended += over
            left -= len(rows)
        if parts:
            await self._publish(used, parts, ended)

    async def _rollout(self, policies: Policies, steps: int, stop: asyncio.Event) -> None:
        """Collect n_steps by one policy and publish them, in as many chunks as it takes."""
        used, left = policies.newest, self._actor.config.n_steps
        while left and not stop.is_set():
            parts, ended, end = list[Float32](), list[Episode](), max(left - steps, 0)
            while left > end:
                rows, over = await self._collect(used, left - end)
                parts.append(rows)
                ended += over
                left -= len(rows)
            await self._publish(used, parts, ended)

    async def _collect(self, used: Followed | None, limit: int) -> tuple[Float32, list[Episode]]:
        """Collect for about SLICE_S, at most so many steps."""
        assert self._collector is not None
        actor, loop = self._actor, asyncio.get_running_loop()
        if used is not None and used.version != actor.version:
            actor.version = used.version
            actor.on_swap(used.version)
        steps, began = min(self._slice, limit), loop.time()
        policy = used.policy if used is not None else None
        found = await asyncio.to_thread(self._collector.collect, policy, steps)
        took = max(loop.time() - began, 1e-6)
        self._slice = max(min(int(steps * SLICE_S / took), 2 * self._slice), 1)
        return found

    async def _publish(self, used: Followed | None, parts: list[Float32], ended: list[Episode]) -> None:
        rows = np.concatenate(parts)
        record = self._record(used, rows, ended)
        [offset] = await self._transactions.commit([record])
        self._sequence += 1
        self._sent.append(offset)
        self._actor.transitions += rows.shape[0] * rows.shape[1]

    def _record(self, used: Followed | None, rows: Float32, ended: list[Episode]) -> Record:
        assert self._collector is not None
        actor, layout, now = self._actor, self._collector.layout, self._actor.clock.now()
        message = TransitionsRecorded(
            training_id=actor.training_id,
            actor_id=actor.actor_id,
            epoch=self._epoch,
            sequence=self._sequence,
            policy_version=used.version if used is not None else 0,
            environments=rows.shape[1],
            observation_size=layout.observation_size,
            action_size=layout.action_size,
            rows=rows.astype("<f4", copy=False).tobytes(),
            episode_rewards=tuple(episode.reward for episode in ended),
            episode_steps=tuple(episode.steps for episode in ended),
            ts_event=now,
        )
        envelope = Envelope(
            message_id=derive_id(actor.training_id, ACTOR, actor.actor_id, self._epoch, self._sequence),
            type=TransitionsRecorded.__name__,
            source=ACTOR,
            ts_init=now,
            correlation_id=actor.training_id,
            causation_id=used.message_id if used is not None else actor.training_id,
        )
        value, headers = actor.serde.encode(message), envelope.headers()
        return Record(TRANSITIONS.name, actor.actor_id, value, headers, None, now // 1_000_000)

    async def _room(self, policies: Policies, stop: asyncio.Event) -> bool:
        """Wait until something may be collected; return whether it may.

        Off-policy at most chunks_ahead chunks may wait for the learner, which commits what it has learned from.
        On-policy each version is acted by once. Nothing tells of a commit, so it is looked at now and then.
        """
        actor, (wait_s, most_s) = self._actor, _LOOK_S
        while not stop.is_set():
            if not actor.config.algorithm.off_policy:
                if policies.version > actor.version:
                    return True
            elif (policies.newest is not None or actor.config.learning_starts > 0) and await self._caught_up(policies):
                return True
            await set_within(stop, wait_s)
            wait_s = min(1.5 * wait_s, most_s)
        return False

    async def _caught_up(self, policies: Policies) -> bool:
        """Return whether the learner is near enough; in lock-step also see the policy that came of the last chunk."""
        actor = self._actor
        if len(self._sent) <= actor.streaming.chunks_ahead:
            return True
        settled = await actor.broker.committed(learner_task(actor.training_id), [self._place])
        while self._sent and self._sent[0] < settled.get(self._place, 0):
            self._sent.popleft()
        near = len(self._sent) <= actor.streaming.chunks_ahead
        if near and not actor.streaming.chunks_ahead:
            await policies.seen_to_end()
        return near


async def _follow(policies: Policies) -> None:
    while True:
        await policies.poll(_POLL_S)


async def _together(main: Any, aside: Any) -> None:
    """Run main to its end beside what has none; raise what either raises."""
    working, following = asyncio.ensure_future(main), asyncio.ensure_future(aside)
    try:
        await asyncio.wait({working, following}, return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            following.result()
        await working
    finally:
        for task in (working, following):
            task.cancel()
        await asyncio.gather(working, following, return_exceptions=True)


def _seed(*parts: object) -> int:
    """Return a seed below 2**31 that differs between actors and their starts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "little") >> 33
