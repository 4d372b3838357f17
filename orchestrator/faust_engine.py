"""The orchestrator on Kafka: Faust shares out partitions and brings their events; what they lead to is committed here.

docs/decisions.md gives the reasons.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from orchestrator.control import ContextOf
from orchestrator.faust_control import Control
from orchestrator.faust_kept import POOL
from orchestrator.faust_records import received
from orchestrator.faust_setup import faust_app, prepared
from orchestrator.faust_table import WorkflowTable
from orchestrator.faust_tasks import Tasks
from orchestrator.faust_watch import Watch
from orchestrator.settings import Settings
from orchestrator.wiring import broker_of, context_of, retention_of
from streams.broker import Broker
from streams.clock import Clock, WallClock
from streams.counts import Counts
from streams.errors import BrokerError, ConfigError, Fenced, StoodStill
from streams.in_hand import TASK
from streams.kafka_calls import translated
from streams.kafka_denials import denial_in, denied
from streams.learning import LearningBroker
from streams.record import Record, TopicPartition
from streams.retrying import retried
from streams.serde import Serde
from streams.topics import COMMANDS, RESULTS

log = logging.getLogger("finagent.orchestrator")
TIMER_S = 0.2
"""How often timers are looked at."""
WRITE_S = 20.0
"""Time for the effects of one batch to become durable."""
TAKE_S = 60.0
"""Time to take partitions over and restore their states."""
GIVE_WAY_S = 20.0
"""How long one that was fenced waits for the group to share its partitions out again."""
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
        self._start: Mapping[TopicPartition, int] = {}
        self._left_behind = False

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
        return {place.name: end - at for place, (at, end) in (await self._positions()).items()}

    async def _positions(self) -> Mapping[TopicPartition, tuple[int, int]]:
        """Return position and end of each owned input partition."""
        consumer = self._app.consumer
        places = self._inputs()
        ends = await consumer.highwaters(*places)
        return {self._plain(place): (await consumer.position(place) or 0, ends[place]) for place in places}

    def _inputs(self) -> list[Any]:
        inputs = {self._prefix + COMMANDS.name, self._prefix + RESULTS.name}
        return [place for place in self._app.consumer.assignment() if place.topic in inputs]

    def _plain(self, place: Any) -> TopicPartition:
        return TopicPartition(place.topic.removeprefix(self._prefix), place.partition)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until stop is set, again from what is committed where Kafka fails; raise what makes that of no use."""
        TASK.set(POOL)

        async def attempt() -> None:
            try:
                await self._session(stop)
            except BrokerError as error:
                if self._left_behind:
                    raise StoodStill(f"Faust did not stop after {error}") from error
                raise

        await retried(POOL, attempt, stop)

    async def _session(self, stop: asyncio.Event) -> None:
        self._lock = asyncio.Lock()  # states have one writer, and none while partitions change hands
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        broker = broker_of(self._settings)
        try:
            await broker.start()
            self._broker: Broker = LearningBroker(broker, self._serde)
            await self._run(stop, await prepared(broker))
        finally:
            await broker.stop()

    async def _run(self, stop: asyncio.Event, partitions: int) -> None:
        app = self._app = self._built(partitions)
        watch = Watch(lambda: app.settled, self._positions)
        ends = [
            asyncio.ensure_future(end) for end in (stop.wait(), self._failed, _crash(app), self._work(app), watch.run())
        ]
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            with translated("WRITE"):
                for end in done:
                    end.result()
        finally:
            await self._stop(app, ends)

    def _built(self, partitions: int) -> Any:
        app = faust_app(self._settings.kafka)
        app.loop = asyncio.get_running_loop()
        self._table, self._tasks = WorkflowTable(self._serde), Tasks(self._broker)
        self._control = Control(
            self._table,
            self._commit,
            self._context_of,
            self._clock,
            self._serde,
            partitions,
            retention_of(self._settings),
        )
        inputs = [self._prefix + COMMANDS.name, self._prefix + RESULTS.name]
        raw = {"key_serializer": "raw", "value_serializer": "raw"}
        # Without Faust's acknowledgements: offsets are committed with what the events led to.
        topic = app.topic(*inputs, key_type=bytes, value_type=bytes, allow_empty=True, acks=False, **raw)
        app.agent(topic, name=POOL)(self._consume)
        app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        app.on_rebalance_complete.connect(self._on_rebalanced, weak=False)
        app.finalize()
        return app

    async def _work(self, app: Any) -> None:
        await app.start()
        while True:
            await asyncio.sleep(TIMER_S)
            async with self._lock:
                if app.settled and self._control:
                    async with self._owning(), _limit(WRITE_S):
                        await self._control.fire()
                        await self._control.forget()

    async def _consume(self, stream: Any) -> None:
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
                return  # their offsets are not committed: they come again, to whoever owns them then
            generation = self._app.consumer_generation_id
            records = [received(e.message, self._prefix) for e in batch if e.message.generation_id == generation]
            records = [each for each in records if each.offset >= self._start.get(_place(each), 0)]
            if not records:
                return
            await self._serde.learn(record.value for record in records)
            async with self._owning(), _limit(WRITE_S):
                await self._control.handle(records)

    @asynccontextmanager
    async def _owning(self) -> AsyncIterator[None]:
        """Take nothing more once another process owns what this one took for its own; the group will tell."""
        try:
            yield
        except Fenced as error:
            log.warning("waiting for the group to share the partitions out again: %s", error)
            self._app.settled = False
            waited = self._app, self._app.rebalancing_count
            asyncio.get_running_loop().call_later(GIVE_WAY_S, self._waited, waited, error)

    def _waited(self, waited: tuple[Any, int], error: Fenced) -> None:
        if (self._app, self._app.rebalancing_count) == waited:
            self._fail(error)

    async def _commit(self, partition: int, records: Sequence[Record], offsets: Mapping[TopicPartition, int]) -> None:
        await self._tasks.commit(partition, records, offsets)

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        async with self._lock:  # what is being written is finished before another owner begins
            await self._tasks.release()

    async def _on_rebalanced(self, *_: Any, **__: Any) -> None:
        """Own what was assigned: nobody else writes any more, then its states and offsets are read."""
        rebalance = self._app.rebalancing_count
        try:
            async with self._lock, _limit(TAKE_S):
                await self._own(list(map(self._plain, self._inputs())))
        except Exception as error:
            self._fail(error)
        else:
            self._app.restored = rebalance

    async def _own(self, inputs: Sequence[TopicPartition]) -> None:
        partitions = {place.partition for place in inputs}
        await self._table.restore(self._broker, await self._tasks.take(partitions))
        self._start = await self._broker.committed(POOL, inputs) if inputs else {}
        if self._control:
            self._control.restore(self._table.states())

    async def _stop(self, app: Any, ends: Sequence[asyncio.Future[Any]]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._lock.acquire()
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        stopping = asyncio.ensure_future(app.stop())
        await asyncio.wait([stopping], timeout=STOP_S)
        # One that goes on would keep its place in the group, and events that nobody takes.
        self._left_behind = not stopping.done() or stopping.cancelled() or stopping.exception() is not None
        stopping.cancel()
        await self._tasks.release()


def engine_of(settings: Settings, serde: Serde | None = None) -> FaustEngine:
    """Return the orchestrator for the settings' Kafka and pools."""
    return FaustEngine(settings, context_of(settings), serde=serde)


def _place(record: Any) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)


@asynccontextmanager
async def _limit(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise BrokerError(f"Kafka took longer than {seconds:g} s") from None


async def _crash(app: Any) -> None:
    await app._crashed.wait()
    if (denial := denial_in(app.crash_reason)) is not None:
        raise denied(denial) from app.crash_reason
    raise BrokerError(f"Faust stopped: {app.crash_reason!r}") from app.crash_reason
