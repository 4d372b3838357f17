"""Faust as the orchestrator uses it. Importing it reads sys.argv: only faust_setup imports this.

Where Faust has no setting for what is needed, a class of its driver is overridden here and nowhere else.
"""

from __future__ import annotations

import asyncio
from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver

from orchestrator.credentials import kafka_security
from orchestrator.faust_kept import POOL
from orchestrator.sections import KafkaSection
from streams.kafka_security import KafkaSecurity

FETCH_WAIT_MS = 200
"""How long the broker may hold a fetch that finds nothing."""
POLL_S = 0.1
"""How long a poll may last; a rebalance waits for it."""
TIMEOUT_S = 20.0
"""Limit of one request."""


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust asks for it only together with its own exactly_once; but pools answer within transactions.
        consumer._isolation_level = "read_committed"
        # With Faust's 1500 ms a fetch begun before a rebalance delays the recovery of the table by as much.
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, timeout: float | None = None, max_records: int | None = None
    ) -> Any:
        # While a rebalance lasts Faust silently drops or clears away what is fetched from its inputs.
        if not self._takes():
            await asyncio.sleep(POLL_S)
            return {}
        records = dict(await super()._fetch_records(consumer, active_partitions, POLL_S, max_records))
        for place in [each for each in records if each not in active_partitions or not self._takes()]:
            first = records.pop(place)[0]
            if place in consumer.assignment():
                consumer.seek(place, first.offset)
        return records

    def _takes(self) -> bool:
        app = self.app
        assert isinstance(app, App)
        return app.settled


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        app = self.app
        assert isinstance(app, App)
        rebalance = app.rebalancing_count
        await super().perform_seek()
        app.sought = rebalance


class _Transport(driver.Transport):
    Consumer = _Consumer


class App(faust.App):
    """A Faust application that runs inside a program: no files, no web server, no topics of its own making."""

    settled = False
    """Whether this process owns its partitions, states restored and positions set."""
    restored = -1
    """The rebalance that states were last restored for."""
    sought = -1
    """The rebalance that positions were last set for; Faust goes on where that takes too long."""

    def on_rebalance_start(self) -> None:
        """Stop taking events before anything else happens."""
        self.settled = False
        super().on_rebalance_start()

    def on_rebalance_end(self) -> None:
        """Take events again, unless the next rebalance has begun meanwhile."""
        super().on_rebalance_end()
        is_placed = self.sought == self.rebalancing_count or not self.consumer.assignment()
        self.settled = is_placed and self.restored == self.rebalancing_count

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> _Transport:
        return _Transport(self.conf.broker_producer, self)

    def _create_directories(self) -> None:
        """Make none: states are in memory and in their changelog."""


def app_of(kafka: KafkaSection) -> App:
    """Return the application, not started."""
    return App(
        kafka.prefix + POOL,
        broker=[f"kafka://{address.strip()}" for address in kafka.bootstrap.split(",")],
        broker_credentials=_credentials(kafka_security(kafka)),
        store="memory://",
        processing_guarantee="at_least_once",
        broker_commit_interval=0.2,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        broker_request_timeout=TIMEOUT_S,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4_000_000,
        stream_wait_empty=False,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_replication_factor=kafka.replication,
        web_enabled=False,
    )


def _credentials(security: KafkaSecurity) -> faust.SASLCredentials | faust.SSLCredentials | None:
    if security.has_login:
        return faust.SASLCredentials(
            username=security.username,
            password=security.password,
            ssl_context=security.context(),
            mechanism=security.mechanism,
        )
    return faust.SSLCredentials(security.context()) if security.has_tls else None
