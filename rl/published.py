"""Policies on the log: said by a learner, followed by its actors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rl.policy import Policy
from rl.streaming import LEARNER, actors_policy
from rl.weights import sha256
from schemas import PolicyPublished
from streams.broker import Broker, Reader
from streams.errors import DecodeError, InvalidData
from streams.ids import derive_id
from streams.record import Envelope, Received, Record, TopicPartition
from streams.serde import Serde
from streams.topics import POLICIES

log = logging.getLogger("finagent.rl")
PLACE = TopicPartition(POLICIES.name, 0)


@dataclass(frozen=True)
class Followed:
    """A policy that is used."""

    version: int
    policy: Policy
    message_id: str
    """Of the message that brought it."""


def publication(
    training_id: str, policy: Policy, version: int, metadata: Mapping[str, Any], serde: Serde, now: int
) -> Record:
    """Return the record that tells a training's actors of their next policy."""
    weights = policy.pack()
    message = PolicyPublished(
        policy_id=actors_policy(training_id),
        version=version,
        algorithm=str(policy.algorithm),
        training_id=training_id,
        weights=weights,
        sha256=sha256(weights),
        metadata=dict(metadata),
        ts_event=now,
    )
    envelope = Envelope(
        message_id=derive_id(training_id, LEARNER, "policy", version),
        type=PolicyPublished.__name__,
        source=LEARNER,
        ts_init=now,
        correlation_id=training_id,
        causation_id=training_id,
    )
    headers = envelope.headers()
    return Record(POLICIES.name, message.policy_id, serde.encode(message), headers, 0, now // 1_000_000)


class Policies:
    """Follows the policy of a training's actors; one that was changed or does not fit is left out, and said."""

    def __init__(self, broker: Broker, reader: Reader, serde: Serde, training_id: str) -> None:
        self._broker = broker
        self._reader = reader
        self._serde = serde
        self._policy_id = actors_policy(training_id)
        self._polled = asyncio.Condition()
        self.newest: Followed | None = None
        """None until there is one."""
        self.metadata: Mapping[str, Any] = {}
        """Of the newest one."""

    @property
    def version(self) -> int:
        """Return the newest version; 0: there is none yet."""
        return 0 if self.newest is None else self.newest.version

    async def poll(self, timeout_s: float) -> bool:
        """Read on; return whether there is a newer policy."""
        before = self.version
        records = await self._reader.poll(timeout_s)
        mine = [record for record in records if record.key == self._policy_id and record.value]
        await self._serde.learn(record.value for record in mine)
        for record in mine:
            self._take(record)
        async with self._polled:
            self._polled.notify_all()
        return self.version > before

    async def catch_up(self) -> None:
        """Read to where the topic ends now."""
        end = (await self._broker.ends([PLACE]))[PLACE]
        while self._reader.position(PLACE) < end:
            await self.poll(0.2)

    async def seen_to_end(self) -> None:
        """Wait until another task's polls have read to where the topic ends now."""
        end = (await self._broker.ends([PLACE]))[PLACE]
        async with self._polled:
            await self._polled.wait_for(lambda: self._reader.position(PLACE) >= end)

    def _take(self, record: Received) -> None:
        try:
            message = self._serde.decode(record.value)
            assert isinstance(message, PolicyPublished)
            if message.version <= self.version:
                return
            policy, _ = Policy.unpack(message.weights, message.sha256)
            envelope = Envelope.from_headers(record.headers)
        except (DecodeError, InvalidData, AssertionError) as error:
            log.warning("the policy at %s is left out: %s", record.place, error)
            return
        self.newest = Followed(message.version, policy, envelope.message_id)
        self.metadata = message.metadata
