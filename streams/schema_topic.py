"""The topic `schemas`: what every release writes with, told to all others before it is first used.

So a process reads what a newer release wrote without a registry, in whatever order they are upgraded.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from schemas.avro import fingerprint_of
from streams.broker import Broker, TopicConfig
from streams.errors import UnknownTopic
from streams.reading import read_whole
from streams.record import Record, TopicPartition
from streams.serde import fingerprint_in, single_object
from streams.topics import SCHEMAS

_PLACE = TopicPartition(SCHEMAS, 0)


class SchemaTopic:
    """Reads and adds to the schemas on the log."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._known: dict[str, Any] = {}
        self._next: int | None = None
        self._reading = asyncio.Lock()

    async def publish(self, schemas: Iterable[Any]) -> None:
        """Add the schemas that the topic does not have; they are durable when this returns."""
        await self._broker.create_topics({SCHEMAS: TopicConfig(1, compacted=True)})
        await self._read_on()
        wanted = {_key(schema): schema for schema in schemas}
        missing = {name: schema for name, schema in wanted.items() if name not in self._known}
        if missing:
            await self._broker.publish([_record(name, schema) for name, schema in missing.items()])

    async def find(self, frames: Collection[bytes]) -> Mapping[bytes, Any]:
        """Return the schemas of those single-object frames that are on the topic as it ends now."""
        wanted = {frame: name for frame in frames if (name := fingerprint_in(frame)) is not None}
        if any(name not in self._known for name in wanted.values()):
            await self._read_on()
        return {frame: self._known[name] for frame, name in wanted.items() if name in self._known}

    async def _read_on(self) -> None:
        async with self._reading:
            await self._read()

    async def _read(self) -> None:
        try:
            end = (await self._broker.ends([_PLACE]))[_PLACE]
        except UnknownTopic:
            return  # no process of this system has started yet
        # Bytes that only look like a fingerprint cost this one question, not another reading.
        if self._next is not None and self._next >= end:
            return
        start = None if self._next is None else {_PLACE: self._next}
        async for record in read_whole(self._broker, [_PLACE], start):
            self._take(record.key, record.value)
        self._next = end

    def _take(self, key: str, value: bytes | None) -> None:
        """Keep a schema whose fingerprint is the key; any other record is no writer's word."""
        try:
            schema = json.loads(value or b"null")
            if _key(schema) == key:
                self._known[key] = schema
        except Exception:  # fastavro raises whatever it meets in what is no schema
            return


def _key(schema: Any) -> str:
    """Return a fingerprint as it stands in a frame, in hexadecimal digits."""
    return single_object(fingerprint_of(schema))[2:].hex()


def _record(key: str, schema: Any) -> Record:
    return Record(SCHEMAS, key, json.dumps(schema, ensure_ascii=False).encode(), partition=0)
