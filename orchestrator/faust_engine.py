"""The orchestrator on Kafka: a thin shell of Faust over the pure `advance` (docs/decisions.md gives the reasons)."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from orchestrator.control import ContextOf
from orchestrator.faust_control import Control
from orchestrator.faust_kept import POOL, TABLE
from orchestrator.faust_records import decoded, received
from orchestrator.settings import Settings
from orchestrator.wiring import broker_of, context_of
from streams.broker import TopicConfig
from streams.clock import Clock, WallClock
from streams.dead_letters import dead_letter
from streams.errors import BrokerError, ConfigError, DecodeError, TopologyError
from streams.record import Event, Record
from streams.serde import Serde
from streams.topics import COMMANDS, RESULTS, STEPS, WORKFLOWS, changelog

log = logging.getLogger("finagent.orchestrator")
TIMER_S = 0.2
"""How often timers are looked at."""
WRITE_S = 20.0
"""Time for the effects of one batch to become durable."""
STOP_S = 10.0
"""Time that Faust gets to stop."""
MAX_BATCH = 64
"""Events whose effects are written together."""


class FaustEngine:
    """Runs the workflows of the partitions that the consumer group gives to this process."""

    def __init__(
        self, settings: Settings, context_of: ContextOf, clock: Clock | None = None, serde: Serde | None = None
    ) -> None:
        if not settings.kafka.bootstrap:
            raise ConfigError("the orchestrator on Faust needs kafka.bootstrap")
        self._settings = settings
        self._prefix = settings.kafka.prefix
        self._context_of = context_of
        self._clock = clock or WallClock()
        self._serde = serde or Serde()
        self._control: Control | None = None
        self._app: Any = None

    @property
    def handled(self) -> int:
        """Return how many events and timers were handled so far."""
        return self._control.handled if self._control else 0

    async def lag(self) -> Mapping[str, int]:
        """Return how many offsets each owned input partition is behind its end."""
        if self._app is None or not self._app.settled:
            return {}
        consumer = self._app.consumer
        inputs = {self._prefix + COMMANDS.name, self._prefix + RESULTS.name}
        places = [place for place in consumer.assignment() if place.topic in inputs]
        ends = await consumer.highwaters(*places)
        return {f"{p.topic}[{p.partition}]": ends[p] - (await consumer.position(p) or 0) for p in places}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until stop is set; raise what made it impossible to go on, offsets of unfinished work kept back."""
        self._lock = asyncio.Lock()  # the table has one writer, and none while partitions change hands
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        app = self._app = self._built(await self._prepared())
        ends = [asyncio.ensure_future(end) for end in (stop.wait(), self._failed, _crash(app), self._work(app))]
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in done:
                end.result()
        finally:
            await self._stop(app, ends)

    async def _prepared(self) -> int:
        """Check the topics, make the changelog and return the number of partitions."""
        broker = broker_of(self._settings)
        await broker.start()
        try:
            present = await broker.topics()
            names = (COMMANDS.name, RESULTS.name, STEPS.name, WORKFLOWS.name)
            counts = {name: present.get(name, 0) for name in names}
            partitions = counts[COMMANDS.name]
            if not partitions or set(counts.values()) != {partitions}:
                raise TopologyError(f"topics of the workflow family need one partition count, found {counts}")
            await broker.create_topics({changelog(TABLE): TopicConfig(partitions, compacted=True)})
            return partitions
        finally:
            await broker.stop()

    def _built(self, partitions: int) -> Any:
        faust = _faust()
        app = faust.app_of(self._settings.kafka)
        app.loop = asyncio.get_running_loop()
        self._table = faust.WorkflowTable(app, self._prefix, partitions, self._serde)
        self._table.on_recover(self._on_recovered)
        self._control = Control(self._table, self._send, self._context_of, self._clock, self._serde)
        inputs = [self._prefix + COMMANDS.name, self._prefix + RESULTS.name]
        raw = {"key_serializer": "raw", "value_serializer": "raw"}
        topic = app.topic(*inputs, key_type=bytes, value_type=bytes, allow_empty=True, **raw)
        app.agent(topic, name=POOL)(self._consume)
        app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        app.finalize()
        return app

    async def _work(self, app: Any) -> None:
        await app.start()
        while True:
            await asyncio.sleep(TIMER_S)
            async with self._lock:
                if app.settled and self._control:
                    await self._control.fire()

    async def _consume(self, stream: Any) -> None:
        # Without Faust's own acknowledgement, which takes an event for done when its handler was cancelled or raised.
        batch = []
        try:
            async for event in stream.noack().events():
                batch.append(event)
                if len(batch) >= MAX_BATCH or stream.channel.queue.empty():
                    await self._handle(batch)
                    batch = []
        except Exception as error:
            if not self._failed.done():
                self._failed.set_exception(error)
            await asyncio.Event().wait()  # a returning agent would be restarted, beyond the failed event

    async def _handle(self, batch: Sequence[Any]) -> None:
        async with self._lock:
            if not self._app.settled or self._control is None:
                return  # not acknowledged: they come again, to whoever owns them then
            current = [event for event in batch if event.message.generation_id == self._app.consumer_generation_id]
            async with asyncio.timeout(WRITE_S):
                await self._control.handle(await self._decoded(current))
            for event in current:
                event.ack()

    async def _decoded(self, batch: Sequence[Any]) -> list[Event]:
        events, letters = [], []
        for record in (received(event.message, self._prefix) for event in batch):
            try:
                events.append(decoded(record, self._serde))
            except DecodeError as error:
                log.warning("dead letter %s: %s", record.place, error)
                letters.append(dead_letter(record, str(error), POOL))
        await self._send(letters)
        return events

    async def _send(self, records: Sequence[Record]) -> None:
        producer = self._app.producer
        sent = [
            await producer.send(
                self._prefix + record.topic,
                record.key.encode(),
                record.value,
                record.partition,
                record.timestamp_ms / 1000,
                list(record.headers),
            )
            for record in records
        ]
        await asyncio.gather(*sent)

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        async with self._lock:  # what is being written is finished before anyone recovers the table
            pass

    async def _on_recovered(self) -> None:
        if self._control:
            self._control.restore(self._table.states())

    async def _stop(self, app: Any, ends: Sequence[asyncio.Future[Any]]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._lock.acquire()
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(app.stop(), STOP_S)


def engine_of(settings: Settings) -> FaustEngine:
    """Return the orchestrator for the settings' Kafka and pools."""
    return FaustEngine(settings, context_of(settings))


async def _crash(app: Any) -> None:
    await app._crashed.wait()
    raise BrokerError(f"Faust stopped: {app.crash_reason!r}") from app.crash_reason


def _faust() -> Any:
    """Import Faust out of reach of the command line, which it would read, and of strict warnings."""
    argv = sys.argv
    sys.argv = argv[:1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module("orchestrator.faust_app")
    finally:
        sys.argv = argv
