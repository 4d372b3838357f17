"""The orchestrator on Kafka: a thin shell of Faust over the pure `advance` (docs/decisions.md gives the reasons)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from orchestrator.control import ContextOf
from orchestrator.faust_control import Control
from orchestrator.faust_kept import POOL
from orchestrator.faust_records import decoded, received
from orchestrator.faust_setup import faust_parts, prepared
from orchestrator.settings import Settings
from orchestrator.wiring import context_of, retention_of
from streams.clock import Clock, WallClock
from streams.counts import Counts
from streams.dead_letters import Refusal, dead_letter
from streams.errors import BrokerError, ConfigError, DecodeError
from streams.in_hand import TASK
from streams.kafka_denials import DENIED, denial_in, denied
from streams.record import Event, Record
from streams.serde import Serde
from streams.task import LOGGED
from streams.topics import COMMANDS, RESULTS

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

    @property
    def counts(self) -> Counts:
        """Return what it has done so far, for metrics."""
        return self._control.counts if self._control else Counts()

    async def lag(self) -> Mapping[str, int]:
        """Return how many offsets each owned input partition is behind its end, by topic:partition."""
        if self._app is None or not self._app.settled:
            return {}
        consumer = self._app.consumer
        inputs = {self._prefix + COMMANDS.name, self._prefix + RESULTS.name}
        places = [place for place in consumer.assignment() if place.topic in inputs]
        ends = await consumer.highwaters(*places)
        return {
            f"{p.topic.removeprefix(self._prefix)}:{p.partition}": ends[p] - (await consumer.position(p) or 0)
            for p in places
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Work until stop is set; raise what made it impossible to go on, offsets of unfinished work kept back."""
        TASK.set(POOL)
        self._lock = asyncio.Lock()  # the table has one writer, and none while partitions change hands
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        app = self._app = self._built(await prepared(self._settings))
        ends = [asyncio.ensure_future(end) for end in (stop.wait(), self._failed, _crash(app), self._work(app))]
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in done:
                end.result()
        except DENIED as error:
            raise denied(error, "WRITE") from error
        finally:
            await self._stop(app, ends)

    def _built(self, partitions: int) -> Any:
        app, self._table = faust_parts(self._settings.kafka, partitions, self._serde)
        app.loop = asyncio.get_running_loop()
        self._table.on_recover(self._on_recovered)
        self._control = Control(
            self._table, self._send, self._context_of, self._clock, self._serde, retention_of(self._settings)
        )
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
                    async with _limit():
                        await self._control.fire()
                        await self._control.forget()

    async def _consume(self, stream: Any) -> None:
        # Without Faust's own acknowledgement, which takes an event for done when its handler was cancelled or raised.
        batch = []
        try:
            async for event in stream.noack().events():
                batch.append(event)
                if len(batch) >= MAX_BATCH or stream.channel.queue.empty():
                    await self._handle(batch)
                    batch = []
        except asyncio.CancelledError:
            self._fail(BrokerError("Faust cancelled the agent"))
            raise
        except Exception as error:
            self._fail(error)
            raise

    def _fail(self, error: Exception) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)

    async def _handle(self, batch: Sequence[Any]) -> None:
        async with self._lock:
            # Faust restarts an agent that failed, beyond the events that it had in hand.
            if self._failed.done() or not self._app.settled or self._control is None:
                return  # not acknowledged: they come again, to whoever owns them then
            current = [event for event in batch if event.message.generation_id == self._app.consumer_generation_id]
            async with _limit():
                await self._control.handle(await self._decoded(current))
            for event in current:
                event.ack()

    async def _decoded(self, batch: Sequence[Any]) -> list[Event]:
        events, letters = [], list[Record]()
        records = [received(event.message, self._prefix) for event in batch]
        await self._serde.learn(record.value for record in records)
        for record in records:
            try:
                event = decoded(record, self._serde)
                if event.envelope.only_for in (None, POOL):
                    events.append(event)
            except DecodeError as error:
                if len(letters) < LOGGED:
                    log.warning("dead letter %s: %s", record.place, error)
                letters.append(dead_letter(record, Refusal(str(error), error.kind, POOL, self._now_ms())))
        await self._send(letters)
        return events

    def _now_ms(self) -> int:
        return self._clock.now() // 1_000_000

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


def engine_of(settings: Settings, serde: Serde | None = None) -> FaustEngine:
    """Return the orchestrator for the settings' Kafka and pools."""
    return FaustEngine(settings, context_of(settings), serde=serde)


@asynccontextmanager
async def _limit() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(WRITE_S):
            yield
    except TimeoutError:
        raise BrokerError(f"effects were not written within {WRITE_S:g} s") from None


async def _crash(app: Any) -> None:
    await app._crashed.wait()
    if (denial := denial_in(app.crash_reason)) is not None:
        raise denied(denial) from app.crash_reason
    raise BrokerError(f"Faust stopped: {app.crash_reason!r}") from app.crash_reason
