"""The broker port in one process: the embedded default, held to the same contract as Kafka."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import fastavro

from streams.broker import Assigned, Follow, Offsets, TopicConfig, check_size, partition_of
from streams.errors import ConfigError, Fenced, UnknownTopic
from streams.record import Received, Record, TopicPartition
from streams.sharing import shares

_LOG_SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "name": "LoggedRecord",
        "namespace": "finagent",
        "fields": [
            {"name": "topic", "type": "string"},
            {"name": "partition", "type": "long"},
            {"name": "key", "type": "string"},
            {"name": "value", "type": ["null", "bytes"]},
            {"name": "timestamp_ms", "type": "long"},
            {
                "name": "headers",
                "type": {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "Header",
                        "fields": [{"name": "name", "type": "string"}, {"name": "value", "type": "bytes"}],
                    },
                },
            },
        ],
    }
)


class MemoryBroker:
    """Topics as lists of records; one event loop; nothing is ever dropped."""

    def __init__(self) -> None:
        self._logs: dict[str, list[list[Received]]] = {}
        self._committed: dict[str, dict[TopicPartition, int]] = defaultdict(dict)
        self._epochs: dict[str, int] = defaultdict(int)
        self._readers: set[_MemoryReader] = set()
        self._members: dict[tuple[str, str], dict[str, _Member]] = defaultdict(dict)
        self._joined = 0

    async def start(self) -> None:
        """Do nothing: there is no connection."""

    async def stop(self) -> None:
        """Do nothing: the log stays readable."""

    async def create_topics(self, topics: Mapping[str, TopicConfig]) -> None:
        """Create the topics that do not exist yet."""
        for name, config in topics.items():
            self._logs.setdefault(name, [[] for _ in range(config.partitions)])

    async def topics(self) -> Mapping[str, int]:
        """Return every topic with its number of partitions."""
        return {name: len(log) for name, log in self._logs.items()}

    async def publish(self, records: Sequence[Record]) -> Sequence[int]:
        """Append records."""
        return self._append(records)

    def _append(self, records: Sequence[Record]) -> list[int]:
        placed = [(record, self._place(record)) for record in records]
        offsets = [self._write(record, partition) for record, partition in placed]
        for reader in self._readers:
            reader.wake.set()
        return offsets

    def _place(self, record: Record) -> int:
        log = self._log(record.topic)
        check_size(record)
        partition = partition_of(record.key, len(log)) if record.partition is None else record.partition
        if not 0 <= partition < len(log):
            raise UnknownTopic(f"topic {record.topic} has {len(log)} partitions, not {partition}")
        return partition

    def _write(self, record: Record, partition: int) -> int:
        log = self._log(record.topic)[partition]
        offset = len(log)
        log.append(
            Received(
                record.topic,
                partition,
                offset,
                record.key,
                record.value,
                tuple(record.headers),
                record.timestamp_ms,
                record.odd_key,
            )
        )
        return offset

    def _log(self, topic: str) -> list[list[Received]]:
        try:
            return self._logs[topic]
        except KeyError:
            raise UnknownTopic(f"Unknown topic {topic!r}, expected one of {', '.join(sorted(self._logs))}") from None

    def partition_log(self, partition: TopicPartition) -> Sequence[Received]:
        """Return a partition's records."""
        log = self._log(partition.topic)
        if not 0 <= partition.partition < len(log):
            raise UnknownTopic(f"topic {partition.topic} has {len(log)} partitions, not {partition.partition}")
        return log[partition.partition]

    @asynccontextmanager
    async def transactions(self, task_id: str, group: str | None = None) -> AsyncIterator[_MemoryTransactions]:
        """Take the task over and fence its former owner."""
        self._epochs[task_id] += 1
        yield _MemoryTransactions(self, (task_id, self._epochs[task_id]), group or task_id)

    def commit(
        self, task: tuple[str, int], group: str, records: Sequence[Record], offsets: Offsets, follow: Follow | None
    ) -> list[int]:
        """Append atomically for the owner of the task's current epoch; group: whose input offsets they are."""
        task_id, epoch = task
        if self._epochs[task_id] != epoch:
            raise Fenced(f"task {task_id} has a new owner")
        placed = self._offsets(records)
        following = follow(placed) if follow is not None else ()
        self._offsets(following)
        every = self._append([*records, *following])
        self._committed[group].update(offsets)
        return every

    def _offsets(self, records: Sequence[Record]) -> list[int]:
        """Return where the records would stand; raise before anything is written where one has no place."""
        ahead: dict[TopicPartition, int] = defaultdict(int)
        offsets = []
        for record in records:
            place = TopicPartition(record.topic, self._place(record))
            offsets.append(len(self.partition_log(place)) + ahead[place])
            ahead[place] += 1
        return offsets

    @asynccontextmanager
    async def reader(self, start: Offsets) -> AsyncIterator[_MemoryReader]:
        """Read the given partitions from the given offsets."""
        reader = _MemoryReader(self, start)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    async def beginnings(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return 0 for each partition: nothing is ever dropped."""
        return {partition: 0 for partition in partitions if self.partition_log(partition) is not None}

    async def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the length of each partition."""
        return {partition: len(self.partition_log(partition)) for partition in partitions}

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | None]:
        """Return the first offset at or after each time, in ms."""
        found: dict[TopicPartition, int | None] = {}
        for partition, time in times.items():
            log = self.partition_log(partition)
            found[partition] = next((record.offset for record in log if record.timestamp_ms >= time), None)
        return found

    async def committed(self, task_id: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offsets that the task has committed."""
        known = self._committed[task_id]
        return {partition: known[partition] for partition in partitions if partition in known}

    async def join(self, group: str, topic: str, assigned: Assigned, stop: asyncio.Event) -> None:
        """Share the topic's partitions among the group's members."""
        self._log(topic)
        members, member = self._members[group, topic], _Member(assigned)
        self._joined += 1
        name = f"{self._joined:09}"
        members[name] = member
        try:
            self._share(group, topic)
            await member.until(stop)
        finally:
            await member.give_up()
            del members[name]
            self._share(group, topic)

    def _share(self, group: str, topic: str) -> None:
        members = self._members[group, topic]
        if members:
            owned = {name: member.owned for name, member in members.items()}
            for name, share in shares(range(len(self._log(topic))), owned).items():
                members[name].tell(share)

    def save(self, path: Path) -> None:
        """Write the whole log as an Avro container file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = (
            {
                "topic": record.topic,
                "partition": record.partition,
                "key": record.key,
                "value": record.value,
                "timestamp_ms": record.timestamp_ms,
                "headers": [{"name": name, "value": value} for name, value in record.headers],
            }
            for log in self._logs.values()
            for partition in log
            for record in partition
        )
        with path.open("wb") as file:
            shape = {f"partitions.{name}": str(len(log)) for name, log in self._logs.items()}
            fastavro.writer(file, _LOG_SCHEMA, rows, codec="deflate", metadata=shape)

    @classmethod
    def load(cls, path: Path) -> MemoryBroker:
        """Read a log that save wrote; offsets are as they were."""
        broker = cls()
        if not path.is_file():
            raise ConfigError(f"no log at {path}")
        with path.open("rb") as file:
            reader = fastavro.reader(file)
            for name, value in reader.metadata.items():
                if name.startswith("partitions."):
                    broker._logs[name.removeprefix("partitions.")] = [[] for _ in range(int(value))]
            for row in reader:
                assert isinstance(row, dict)
                headers = tuple((header["name"], header["value"]) for header in row["headers"])
                record = Record(row["topic"], row["key"], row["value"], headers, row["partition"], row["timestamp_ms"])
                broker._write(record, row["partition"])
        return broker


class _Member:
    """A member of a group, and what it was told that it owns."""

    def __init__(self, assigned: Assigned) -> None:
        self._assigned = assigned
        self._telling: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None
        self._changed = asyncio.Event()
        self._left = False
        self.owned: frozenset[int] = frozenset()

    def tell(self, partitions: frozenset[int]) -> None:
        if partitions != self.owned and not self._left:
            self.owned = partitions
            telling = asyncio.ensure_future(self._assigned(partitions))
            self._telling.add(telling)
            telling.add_done_callback(self._told)

    def _told(self, telling: asyncio.Task[None]) -> None:
        self._telling.discard(telling)
        if not telling.cancelled() and (error := telling.exception()) is not None:
            self._error = error
            self._changed.set()

    async def until(self, stop: asyncio.Event) -> None:
        """Wait for stop; raise what the owner raised."""
        waiting = [asyncio.ensure_future(event.wait()) for event in (stop, self._changed)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
        if self._error is not None:
            raise self._error

    async def give_up(self) -> None:
        self._left = True
        await asyncio.gather(*self._telling, self._assigned(frozenset()), return_exceptions=True)


class _MemoryTransactions:
    def __init__(self, broker: MemoryBroker, task: tuple[str, int], group: str) -> None:
        self._broker = broker
        self._task = task
        self._group = group

    async def commit(
        self, records: Sequence[Record], offsets: Offsets | None = None, follow: Follow | None = None
    ) -> Sequence[int]:
        return self._broker.commit(self._task, self._group, records, offsets or {}, follow)


class _MemoryReader:
    def __init__(self, broker: MemoryBroker, start: Offsets) -> None:
        self._broker = broker
        self._positions = dict(start)
        self._logs = {partition: broker.partition_log(partition) for partition in start}
        self._paused: set[TopicPartition] = set()
        self.wake = asyncio.Event()

    async def poll(self, timeout_s: float, max_records: int = 5000) -> Sequence[Received]:
        self.wake.clear()
        found = self._take(max_records)
        if found or timeout_s <= 0:
            await asyncio.sleep(0)
            return found
        try:
            async with asyncio.timeout(timeout_s):
                while not found:
                    await self.wake.wait()
                    self.wake.clear()
                    found = self._take(max_records)
        except TimeoutError:
            pass
        return found

    def _take(self, limit: int) -> list[Received]:
        found: list[Received] = []
        for partition, log in self._logs.items():
            start = self._positions[partition]
            if partition in self._paused or start >= len(log):
                continue
            found += log[start : start + limit - len(found)]
            self._positions[partition] = found[-1].offset + 1
            if len(found) >= limit:
                break
        return found

    def position(self, partition: TopicPartition) -> int:
        return self._positions[partition]

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.difference_update(partitions)
        self.wake.set()
