"""Membership of a group on Kafka: who has which partitions, and who keeps them over a restart.

The partitions of one topic are shared so that as few as possible move. A member with an instance id (KIP-345) that is
killed and started again within the session timeout takes its partitions back without a rebalance. aiokafka sends that
id when it joins, not with its heartbeats; so two processes of one id would take each other's place for ever, each told
that its membership had lapsed. Here heartbeats carry it. A member may also lose its place to itself, where the answer
to its joining was lost; so it joins again, and only who loses it again and again, the older of two, has to end.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.types import Int16, Int32, Schema, String

from streams.broker import Assigned
from streams.errors import ConfigError
from streams.sharing import shares

FENCED_INSTANCE_ID, UNKNOWN_MEMBER_ID = 82, 25
"""Kafka's error codes for a member whose instance id another one has taken, and for one that is to join again."""
LOSSES, LOSSES_S = 3, 60.0
"""A member that lost its place so often within so many seconds has a rival."""


class Sharing(AbstractPartitionAssignor):  # type: ignore[misc]
    """Shares one topic among a group; each member tells what it owns, and since which round of sharing."""

    name = "range"
    """That of earlier releases: a group refuses who joins under another one. They leave out what is told here."""

    def __init__(self) -> None:
        self._round = 0
        self._owned: frozenset[int] = frozenset()

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """Return what the leader is told of this member."""
        told = struct.pack(f">{1 + len(self._owned)}i", self._round, *sorted(self._owned))
        return ConsumerProtocolMemberMetadata(0, list(topics), told)

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Remember what this member was given."""
        self._round = _numbers(assignment.user_data)[0]
        self._owned = frozenset(place.partition for place in assignment.partitions())

    def assign(
        self, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Share the topic, as the group's leader."""
        [topic] = {topic for member in members.values() for topic in member.subscription}
        told = {member: _numbers(metadata.user_data) for member, metadata in members.items()}
        owners: dict[int, str] = {}
        for member in sorted(told, key=lambda member: (told[member][0], member)):  # the latest round counts
            owners.update(dict.fromkeys(told[member][1:], member))
        owned = {member: [each for each, owner in owners.items() if owner == member] for member in members}
        mark = struct.pack(">i", 1 + max(numbers[0] for numbers in told.values()))
        return {
            member: ConsumerProtocolMemberAssignment(0, [(topic, sorted(share))], mark)
            for member, share in shares(cluster.partitions_for_topic(topic) or (), owned).items()
        }


def _numbers(told: bytes | None) -> tuple[int, ...]:
    """Return a round and partitions; of a member or leader of an earlier release, which tells nothing, round 0."""
    return struct.unpack(f">{len(told) // 4}i", told) if told and len(told) % 4 == 0 else (0,)


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells the owner of the partitions that its consumer is given; a rebalance that is under way takes none away."""

    def __init__(self, consumer: AIOKafkaConsumer, assigned: Assigned, instance_id: str = "") -> None:
        self._consumer = consumer
        self._assigned = assigned
        self._instance_id = instance_id
        self._error: BaseException | None = None
        self._left = False
        self._telling: set[asyncio.Task[None]] = set()
        self._lost: deque[float] = deque(maxlen=LOSSES)

    def guard(self) -> None:
        """Send the instance id with each heartbeat, and learn of its loss; call it once the consumer has started."""
        if self._instance_id:
            coordinator = self._consumer._coordinator
            sent = coordinator._send_req

            async def send(request: Any) -> Any:
                if isinstance(request, HeartbeatRequest):
                    member = (coordinator.group_id, coordinator.generation, coordinator.member_id)
                    request = InstanceHeartbeat(*member, self._instance_id)
                response = await sent(request)
                if response.error_code == FENCED_INSTANCE_ID:
                    self._lose(coordinator.group_id)
                    response.error_code = UNKNOWN_MEMBER_ID
                return response

            coordinator._send_req = send

    def _lose(self, group: str) -> None:
        now = time.monotonic()
        self._lost.append(now)
        if len(self._lost) == LOSSES and now - self._lost[0] < LOSSES_S:
            self._error = ConfigError(
                f"another process has taken kafka.instance_id {self._instance_id!r} in the group {group}: give each "
                "process an id of its own"
            )

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Go on: aiokafka gives up all before each rebalance, but most comes back, and a new owner fences the old."""

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Take what is given; fetch nothing of it."""
        self._consumer.pause(*assigned)
        if not self._left:
            # Not awaited: while this listener runs there are no heartbeats, and to give up may take long.
            self._tell(frozenset(place.partition for place in assigned))

    def _tell(self, partitions: frozenset[int]) -> None:
        telling = asyncio.ensure_future(self._assigned(partitions))
        self._telling.add(telling)
        telling.add_done_callback(self._told)

    def _told(self, telling: asyncio.Task[None]) -> None:
        self._telling.discard(telling)
        if not telling.cancelled():
            self._error = self._error or telling.exception()

    async def leave(self) -> None:
        """Give up everything, then the place in the group; a rebalance that is still under way gives nothing back."""
        self._left = True
        await asyncio.gather(*self._telling, self._assigned(frozenset()), return_exceptions=True)
        if (coordinator := self._consumer._coordinator) is not None:
            # Who stops in good order leaves its partitions to others at once; aiokafka would let a static member stay.
            coordinator._group_instance_id = None

    def check(self) -> None:
        """Raise what the owner raised, or what took the membership away."""
        if self._error is not None:
            raise self._error


class _HeartbeatResponse(Response):  # type: ignore[misc]
    API_KEY = 12
    API_VERSION = 3
    SCHEMA = Schema(("throttle_time_ms", Int32), ("error_code", Int16))


class _Heartbeat(RequestStruct):  # type: ignore[misc]
    API_KEY = 12
    API_VERSION = 3
    RESPONSE_TYPE = _HeartbeatResponse
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
    )


class InstanceHeartbeat(Request[_Heartbeat]):  # type: ignore[misc]
    """A heartbeat that says under which instance id the member is known."""

    API_KEY = 12

    def __init__(self, group: str, generation: int, member_id: str, instance_id: str) -> None:
        self._fields = (group, generation, member_id, instance_id)

    def build(self, request_struct_class: type[_Heartbeat]) -> _Heartbeat:
        """Return what is sent."""
        return request_struct_class(*self._fields)
