"""The broker port on Apache Kafka, by aiokafka.

Every default that is wrong for this system is set here (docs/decisions.md): idempotence on, acks all, auto-commit off,
read_committed, earliest; and every call has a time limit, since aiokafka outlives its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams import kafka_headers
from streams.broker import Assigned, Offsets, TopicConfig
from streams.errors import BrokerError, FinAgentError, RecordTooLarge, SecurityError, UnknownTopic
from streams.kafka_calls import Names, coordinated, limited, offsets_of_group, send, stopped
from streams.kafka_denials import DENIED, denied
from streams.kafka_diagnosis import refusal
from streams.kafka_groups import Membership, Sharing
from streams.kafka_producers import closed, producer_of
from streams.kafka_security import KafkaSecurity
from streams.kafka_sessions import KafkaReader, KafkaTransactions
from streams.record import Record, TopicPartition

T = TypeVar("T")
ADMIN_TIMEOUT_MS = 10_000
"""How long an answer of the admin client is waited for at least: topics are made before it comes."""
JOINED_MS = 4_000
"""How long a joining member waits for an answer beyond the session timeout, which the others may take."""
SEGMENT_BYTES = 16 * 1024 * 1024
"""Size at which a segment of a compacted topic is closed."""


@dataclass(frozen=True)
class KafkaOptions:
    """How to reach and use a Kafka cluster."""

    bootstrap: str
    """host:port, comma-separated."""
    prefix: str = ""
    """Put before every topic, group and transactional id."""
    replication: int = 1
    """Copies of each partition of the topics that are made."""
    transaction_timeout_ms: int = 10_000
    """After this the broker aborts what a dead task left open."""
    session_timeout_ms: int = 6_000
    """After this silence a member's partitions go to others."""
    request_timeout_ms: int = 5_000
    """How long one answer is waited for, where the broker need not wait for others before it answers."""
    timeout_s: float = 20.0
    """Limit of every call."""
    instance_id: str = ""
    """Names this process in its groups over restarts; empty: a restart makes a new member."""
    security: KafkaSecurity = field(default_factory=KafkaSecurity)
    """TLS, and who this client is."""


class KafkaBroker:
    """Apache Kafka, seen through the port."""

    def __init__(self, options: KafkaOptions) -> None:
        self.options = options
        self._names = Names(options.prefix)
        self._producer: AIOKafkaProducer | None = None
        self._query: AIOKafkaConsumer | None = None
        self._admin: AIOKafkaAdminClient | None = None
        self._partitions: dict[str, int] = {}
        self._clients = 0
        self._renewing = asyncio.Lock()

    async def start(self) -> None:
        """Connect; raise BrokerError where no broker answers, SecurityError that says why one cannot be used."""
        kafka_headers.install()
        bootstrap = self.options.bootstrap
        waiting = {"request_timeout_ms": max(self.options.request_timeout_ms, ADMIN_TIMEOUT_MS)}
        self._admin = AIOKafkaAdminClient(**{**self._reached(), **waiting})
        self._producer = self._publisher()
        self._query = self._consumer()
        # Limits a question for offsets as a whole: were it that of one request, no new leader would be asked.
        self._query._request_timeout_ms = self.options.timeout_s * 1000
        try:
            for client in (self._admin, self._producer, self._query):
                await self._limited(client.start())
        except FinAgentError as error:
            await self.stop()
            if not isinstance(error, BrokerError):
                raise
            if (refused := await refusal(bootstrap, self.options.security)) is not None:
                kind = SecurityError if refused.certain else BrokerError
                raise kind(f"no use of Kafka at {bootstrap}: {refused.why}") from None
            raise BrokerError(f"no Kafka at {bootstrap}: {error}") from None

    async def stop(self) -> None:
        """Release every connection."""
        if self._producer is not None:
            await closed(self._producer)
        if self._query is not None:
            await stopped(self._query.stop())
        if self._admin is not None:
            await stopped(self._admin.close())
        self._producer = self._query = self._admin = None

    async def _limited(self, call: Awaitable[T]) -> T:
        return await limited(call, self.options.timeout_s)

    def _reached(self) -> dict[str, Any]:
        """Return the options by which each client reaches the cluster; certificates are read anew.

        Each client asks another broker first: one that is silent would hold up whoever tries again.
        """
        addresses = self.options.bootstrap.split(",")
        first = self._clients % len(addresses)
        self._clients += 1
        return {
            "bootstrap_servers": [*addresses[first:], *addresses[:first]],
            "request_timeout_ms": self.options.request_timeout_ms,
            **self.options.security.client_options(),
        }

    def _consumer(self, *topics: str, **more: Any) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            *topics,
            **{
                **self._reached(),
                "enable_auto_commit": False,
                "auto_offset_reset": "earliest",
                "isolation_level": "read_committed",
                "max_partition_fetch_bytes": 4_000_000,
                **more,
            },
        )

    async def create_topics(self, topics: Mapping[str, TopicConfig]) -> None:
        """Create the topics that do not exist yet and wait until every partition has a leader."""
        assert self._admin is not None
        known = await self.topics()
        missing = {name: config for name, config in topics.items() if name not in known}
        if not missing:
            return
        made = [
            NewTopic(
                self._names.full(name),
                config.partitions,
                self.options.replication,
                topic_configs=_kept(config),
            )
            for name, config in missing.items()
        ]
        _raise_refused(await self._limited(self._admin.create_topics(made)))
        await self._limited(self._until_led(missing.keys()))

    async def _until_led(self, names: Set[str]) -> None:
        while not names <= (await self.topics()).keys():  # noqa: ASYNC110 - metadata has no event
            await asyncio.sleep(0.05)

    async def topics(self) -> Mapping[str, int]:
        """Return every topic of the prefix that has leaders, with its number of partitions."""
        described = await self._described()
        return {
            name: len(partitions)
            for name, partitions in described.items()
            if all(partition["leader"] >= 0 for partition in partitions)
        }

    async def _described(self) -> dict[str, list[Any]]:
        assert self._admin is not None
        prefix = self.options.prefix
        return {
            topic["topic"].removeprefix(prefix): topic["partitions"]
            for topic in await self._limited(self._admin.describe_topics())
            if topic["topic"].startswith(prefix)
        }

    async def _require(self, places: Iterable[TopicPartition]) -> None:
        """Raise UnknownTopic where a place does not exist: aiokafka would wait for it, or have it made."""
        missing = [place for place in places if place.partition >= self._partitions.get(place.topic, 0)]
        if missing:
            self._partitions = {name: len(partitions) for name, partitions in (await self._described()).items()}
        for name, partition in missing:
            if partition >= self._partitions.get(name, 0):
                raise UnknownTopic(f"Unknown topic {name!r} or partition {partition} of it")

    async def _learn(self, places: Iterable[TopicPartition]) -> None:
        """Require places, and have the query's client know their topics.

        By itself it learns of one topic in each try, and tries again after 0.1 s.
        """
        places = list(places)
        await self._require(places)
        assert self._query is not None
        client = self._query._client
        names = {self._names.full(place.topic) for place in places}
        if not names <= client.cluster.topics():
            await self._limited(client.set_topics({*client._topics, *names}))

    async def publish(self, records: Sequence[Record]) -> Sequence[int]:
        """Append records outside a transaction."""
        producer = self._producer
        assert producer is not None
        try:
            return await self._limited(self._sent(producer, records))
        except RecordTooLarge as error:
            if isinstance(error.__cause__, kafka_errors.KafkaError):  # a topic with a lower limit than the project's
                await self._renew(producer)
            raise

    async def _renew(self, broken: AIOKafkaProducer) -> None:
        """Put another producer in the place of one whose sequence a refusal broke."""
        async with self._renewing:
            if self._producer != broken:  # another call has done so
                return
            renewed = self._publisher()
            try:
                await self._limited(renewed.start())
            except BaseException:
                await closed(renewed)
                raise
            self._producer = renewed
            await closed(broken)

    def _publisher(self) -> AIOKafkaProducer:
        return producer_of(self.options.timeout_s, **self._reached())

    async def _sent(self, producer: AIOKafkaProducer, records: Sequence[Record]) -> list[int]:
        await self._places_of(records)
        return await send(producer, records, self._names)

    async def _places_of(self, records: Sequence[Record]) -> None:
        await self._require(TopicPartition(record.topic, record.partition or 0) for record in records)

    @asynccontextmanager
    async def transactions(self, task_id: str, group: str | None = None) -> AsyncIterator[KafkaTransactions]:
        """Take the task over: its former owner is fenced, its open transaction settled."""
        producer = producer_of(
            self.options.timeout_s,
            **self._reached(),
            transactional_id=self._names.full(task_id),
            transaction_timeout_ms=self.options.transaction_timeout_ms,
        )
        try:
            await self._limited(producer.start())
            yield KafkaTransactions(producer, self._names, group or task_id, self._places_of, self.options.timeout_s)
        finally:
            await closed(producer)

    @asynccontextmanager
    async def reader(self, start: Offsets) -> AsyncIterator[KafkaReader]:
        """Read the given partitions from the given offsets."""
        await self._require(start)
        # An offset that is not there must not lead elsewhere in silence: records would be missed, or handled again.
        consumer = self._consumer(auto_offset_reset="none")
        places = {self._names.kafka(place): offset for place, offset in start.items()}
        try:
            await self._limited(consumer.start())
            consumer.assign(list(places))
            for place, offset in places.items():
                consumer.seek(place, offset)
            yield KafkaReader(consumer, self._names, dict(start), self.ends)
        finally:
            await stopped(consumer.stop())

    async def beginnings(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset kept of each partition."""
        assert self._query is not None
        await self._learn(partitions)
        found = await self._limited(self._query.beginning_offsets([self._names.kafka(place) for place in partitions]))
        return {self._names.plain(place): offset for place, offset in found.items()}

    async def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the last stable offset of each partition."""
        assert self._query is not None
        await self._learn(partitions)
        found = await self._limited(self._query.end_offsets([self._names.kafka(place) for place in partitions]))
        return {self._names.plain(place): offset for place, offset in found.items()}

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | None]:
        """Return the first offset at or after each time, in ms."""
        assert self._query is not None
        await self._learn(times)
        asked = {self._names.kafka(place): time for place, time in times.items()}
        found = await self._limited(self._query.offsets_for_times(asked))
        return {self._names.plain(place): None if at is None else at.offset for place, at in found.items()}

    async def committed(self, task_id: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offsets that the task has committed."""
        assert self._admin is not None
        admin, group = self._admin, self._names.full(task_id)
        places = list(map(self._names.kafka, partitions))
        found = await self._limited(coordinated(lambda: offsets_of_group(admin, group, places)))
        return {self._names.plain(place): offset for place, offset in found.items()}

    async def join(self, group: str, topic: str, assigned: Assigned, stop: asyncio.Event) -> None:
        """Be a member of a group; its consumer only keeps the membership, tasks read with their own."""
        await self._require([TopicPartition(topic, 0)])
        options = self.options
        consumer = self._consumer(
            group_id=self._names.full(group),
            group_instance_id=options.instance_id or None,
            request_timeout_ms=max(options.request_timeout_ms, options.session_timeout_ms + JOINED_MS),
            session_timeout_ms=options.session_timeout_ms,
            heartbeat_interval_ms=max(options.session_timeout_ms // 5, 100),
            partition_assignment_strategy=(Sharing(),),
        )
        membership = Membership(consumer, assigned, options.instance_id)
        consumer.subscribe([self._names.full(topic)], listener=membership)
        try:
            await self._limited(consumer.start())
            membership.guard()
            while not stop.is_set():
                # Polling is what keeps a member alive; everything is paused, so nothing is fetched.
                await self._limited(consumer.getmany(timeout_ms=200))
                membership.check()
        except BrokerError:
            membership.check()
            raise
        finally:
            await membership.leave()
            await stopped(consumer.stop())


def _kept(config: TopicConfig) -> dict[str, str]:
    """Return the cluster's words for how long a topic keeps its records, and how large they may be."""
    if config.compacted:
        # Only closed segments are compacted; of 1 GB, the default, every restart would read up to as much.
        return {"cleanup.policy": "compact", "segment.bytes": str(SEGMENT_BYTES)}
    limits = {"retention.ms": config.retention_ms, "max.message.bytes": config.max_bytes}
    return {name: str(value) for name, value in limits.items() if value}


def _raise_refused(created: Any) -> None:
    for name, code, *reason in created.topic_errors:
        error = kafka_errors.for_code(code)
        if error in DENIED:
            raise denied(error(name), "CREATE")
        if error not in (kafka_errors.NoError, kafka_errors.TopicAlreadyExistsError):
            raise BrokerError(f"topic {name} was not made: {error.__name__} {' '.join(map(str, reason))}")
