"""A secure Kafka and Redis, with every component as its own user: what must work works, and the rest is refused."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import os
import re
import ssl
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from infra.processes import Processes, processes
from infra.security.certificates import Authority
from infra.security.grants import grant, set_passwords
from infra.security.keys import ADMIN, BROKER, REDIS, Keys
from infra.security.provision import prepare_local, rights
from infra.services import (
    KafkaService,
    RedisService,
    ServiceError,
    kafka_login,
    kafka_settings,
    redis_login,
    redis_settings,
    start_kafka,
    stop_kafka,
)
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings, load
from orchestrator.wiring import BUILT_IN, store_of
from streams.broker import TopicConfig
from streams.errors import BrokerError, SecurityError, StoreError
from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.kafka_diagnosis import refusal
from streams.kafka_security import KafkaSecurity, Mechanism
from streams.record import Record, TopicPartition
from streams.redis_store import RedisSecurity, RedisStore
from streams.tail import tail
from tests.services import local_kafka, local_redis
from tests.system.cluster import rotation

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
WRONG = "hunter2-correct-horse"
READY_S = 180
"""Eight processes start at once, on whatever else the machine does."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secure services") / ".finagent"


@pytest.fixture(scope="module")
def keys(folder: Path) -> Keys:
    return Keys(folder / "security")


@pytest.fixture(scope="module")
def kafka(folder: Path) -> Iterator[KafkaService]:
    try:
        with local_kafka(folder / "kafka", security=folder / "security") as service:
            asyncio.run(prepare_local(service, Settings()))
            yield service
    except ServiceError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="module")
def redis(folder: Path) -> Iterator[RedisService]:
    try:
        with local_redis(folder / "redis", security=folder / "security") as service:
            yield service
    except ServiceError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def settings(kafka: KafkaService, redis: RedisService) -> Settings:
    return load(
        overrides={"kafka": kafka_settings(kafka), "redis": redis_settings(redis), "log_level": "INFO"}, environ={}
    )


def user(keys: Keys, name: str, mechanism: Mechanism = "SCRAM-SHA-512") -> KafkaSecurity:
    return KafkaSecurity("SASL_SSL", mechanism, name, keys.password(name), str(keys.ca))


@asynccontextmanager
async def connected(kafka: KafkaService, security: KafkaSecurity) -> AsyncIterator[KafkaBroker]:
    broker = KafkaBroker(KafkaOptions(kafka.bootstrap, security=security, timeout_s=10))
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


@pytest_asyncio.fixture
async def alpha(kafka: KafkaService, keys: Keys) -> AsyncIterator[KafkaBroker]:
    async with connected(kafka, user(keys, "alpha")) as broker:
        yield broker


async def in_transaction(broker: KafkaBroker, task: str, topic: str, read: str | None = None) -> None:
    offsets = {TopicPartition(read, 0): 0} if read else None
    async with broker.transactions(task) as transactions:
        await transactions.commit([Record(topic, "key", b"value")], offsets)


async def test_alpha_cannot_write_orders(alpha: KafkaBroker) -> None:
    await alpha.publish([Record("bars.dlq", "key", b"its own dead letter")])
    for attempt in (
        alpha.publish([Record("orders", "key", b"an order")]),
        in_transaction(alpha, "alpha.0", "orders"),
    ):
        with pytest.raises(SecurityError, match=r"Kafka denies WRITE on topic orders to this client: check FINAGENT"):
            await attempt
    orders = TopicPartition("orders", 0)
    assert await alpha.ends([orders]) == await alpha.beginnings([orders])


async def test_alpha_cannot_do_what_is_another_s(alpha: KafkaBroker) -> None:
    async def read(topic: str) -> None:
        async with alpha.reader({TopicPartition(topic, 0): 0}) as reader:
            await reader.poll(5)

    async def join(group: str) -> None:
        async def assigned(_: frozenset[int]) -> None: ...

        async with asyncio.timeout(10):
            await alpha.join(group, "alpha.changelog", assigned, asyncio.Event())

    for attempt, said in (
        (read("orders"), "READ on topic orders"),
        (in_transaction(alpha, "risk.0", "bars.dlq"), r"WRITE on transactional id risk\.0"),
        (in_transaction(alpha, "alpha.0", "bars.dlq", read="orders"), "a right on topic"),
        (alpha.committed("risk.0", [TopicPartition("bars", 0)]), r"READ on group risk\.0"),
        (join("risk"), "READ on group risk"),
        (alpha.create_topics({"mine": TopicConfig(1)}), "CREATE on topic mine"),
    ):
        with pytest.raises(SecurityError, match=f"Kafka denies {said}"):
            await attempt


async def test_only_the_administrator_gives_rights_and_passwords(kafka: KafkaService, keys: Keys) -> None:
    with pytest.raises(SecurityError, match="denies ALTER on cluster"):
        await grant(kafka.bootstrap, user(keys, "alpha"), rights(Settings()))
    with pytest.raises(SecurityError, match="denies ALTER on cluster"):
        await set_passwords(kafka.bootstrap, user(keys, "alpha"), {"alpha": WRONG})
    await grant(kafka.bootstrap, user(keys, ADMIN), rights(Settings()))


async def test_both_kinds_of_scram_and_certificates_let_a_client_in(kafka: KafkaService, keys: Keys) -> None:
    async with connected(kafka, user(keys, "alpha", "SCRAM-SHA-256")) as broker:
        assert "orders" in await broker.topics()
    by_certificate = f"127.0.0.1:{kafka.brokers[0].certificate_port}"
    issued = keys.folder / "alpha.pem"
    issued.write_bytes(Authority.kept_in(keys.folder, now()).issue("alpha", now()))
    client = KafkaSecurity("SSL", ca_file=str(keys.ca), certificate_file=str(issued))
    async with connected(replace(kafka, bootstrap=by_certificate), client) as broker:
        with pytest.raises(SecurityError, match="WRITE on topic orders"):
            await broker.publish([Record("orders", "key", b"an order")])


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


async def refused(bootstrap: str, security: KafkaSecurity) -> str:
    """Return what a client is told that cannot start."""
    broker = KafkaBroker(KafkaOptions(bootstrap, security=security, timeout_s=10))
    with pytest.raises((SecurityError, BrokerError)) as raised:
        await broker.start()
    return f"{type(raised.value).__name__}: {raised.value}"


async def test_a_client_that_is_not_let_in_is_told_why_and_what_to_do(kafka: KafkaService, keys: Keys) -> None:
    at, right = kafka.bootstrap, user(keys, "alpha")
    by_certificate = f"127.0.0.1:{kafka.brokers[0].certificate_port}"
    for security, address, said in (
        (replace(right, password=WRONG), at, "SecurityError: .*refuses the user 'alpha' or its password: check FIN"),
        (replace(right, username="nobody"), at, "SecurityError: .*refuses the user 'nobody'"),
        (replace(right, mechanism="PLAIN"), at, "SecurityError: .*does not take kafka.sasl_mechanism PLAIN"),
        (KafkaSecurity(), at, "SecurityError: .*wants TLS: set kafka.security_protocol to SASL_SSL"),
        (replace(right, protocol="SASL_PLAINTEXT"), at, "SecurityError: .*wants TLS"),
        (replace(right, ca_file=""), at, "SecurityError: .*not vouched for .* in kafka.ssl_ca_file"),
        (KafkaSecurity("SSL", ca_file=str(keys.ca)), at, "BrokerError: .*or for a password"),
        (KafkaSecurity("SSL", ca_file=str(keys.ca)), by_certificate, "BrokerError: .*asks for a client certificate"),
    ):
        told = await refused(address, security)
        assert re.match(said, told), told
        assert WRONG not in told
        assert right.password not in told


@pytest.mark.parametrize(
    ("hosts", "days", "said"),
    [
        (("localhost", "127.0.0.1"), 0, "the certificate of 127.0.0.1 has expired: renew it there"),
        (("elsewhere",), 30, "the certificate of 127.0.0.1 is for another host"),
    ],
)
async def test_a_certificate_that_is_no_longer_or_not_for_this_host_is_refused(
    folder: Path, keys: Keys, kafka: KafkaService, hosts: tuple[str, ...], days: int, said: str
) -> None:
    presented = folder / "presented.pem"
    presented.write_bytes(Authority.kept_in(keys.folder, now()).issue("elsewhere", now(), hosts, days))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(presented)
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        told = await refused(address, user(keys, "alpha"))
        assert told.startswith(f"SecurityError: no use of Kafka at {address}: {said}")
        store = RedisStore(f"rediss://{address}/0", security=RedisSecurity(ca_file=str(keys.ca)))
        with pytest.raises(StoreError, match=said):
            await store.start()
        await store.stop()


async def test_a_broker_that_is_not_there_or_serves_well_gives_no_reason(kafka: KafkaService, keys: Keys) -> None:
    assert await refusal("127.0.0.1:1", user(keys, "alpha")) is None
    assert await refusal(kafka.bootstrap, user(keys, "alpha")) is None


async def test_nothing_logged_at_debug_holds_a_password(
    kafka: KafkaService, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    # The command line, where a test has called it in this process, has set aiokafka's own level.
    for name in ("", "aiokafka"):
        caplog.set_level(logging.DEBUG, name)
    security = user(keys, "alpha")
    async with connected(kafka, security) as broker:
        await broker.publish([Record("bars.dlq", "key", b"value")])
    await refused(kafka.bootstrap, replace(security, password=WRONG))
    assert "alpha" in caplog.text
    assert security.password not in caplog.text
    assert WRONG not in caplog.text


@pytest.mark.redis
async def test_redis_wants_tls_and_a_password_and_gives_no_more_than_the_store_needs(
    redis: RedisService, keys: Keys, settings: Settings
) -> None:
    store = store_of(settings, redis_login(redis))
    await store.start()
    await store.set("key", b"value")
    assert await store.get("key") == b"value"
    assert keys.password(REDIS) not in repr(store)
    assert isinstance(store, RedisStore)
    with pytest.raises(StoreError, match="its user may not do this"):
        async with store._commands() as commands:
            await commands.flushall()
    await store.stop()
    plain, trusted = redis.url.replace("rediss", "redis"), RedisSecurity(REDIS, keys.password(REDIS), str(keys.ca))
    for url, security, said in (
        (redis.url, replace(trusted, password=WRONG), "refuses the user and password.*FINAGENT_REDIS_PASSWORD"),
        (redis.url, RedisSecurity(ca_file=str(keys.ca)), "refuses the user and password, or needs them"),
        (redis.url, replace(trusted, ca_file=""), "not vouched for .* in redis.ssl_ca_file"),
        (plain, RedisSecurity(REDIS, keys.password(REDIS)), "ConnectionError"),
    ):
        store = RedisStore(url, security=security)
        with pytest.raises(StoreError, match=said) as raised:
            await store.start()
        assert WRONG not in str(raised.value)
        assert keys.password(REDIS) not in str(raised.value)
        await store.stop()


def test_folders_are_closed_and_keys_can_be_read_by_their_owner_alone(folder: Path, kafka: KafkaService) -> None:
    for closed in ("kafka", "security", "security/passwords"):
        assert stat.S_IMODE((folder / closed).stat().st_mode) == 0o700
    private = [path for path in (folder / "security").rglob("*") if path.is_file()]
    private.append(folder / "kafka" / "broker-1" / "server.properties")
    made_here = {"alpha.pem"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in private if path.name not in made_here} == {0o600}


def logins(kafka: KafkaService, redis: RedisService, component: str) -> Mapping[str, str]:
    return kafka_login(kafka, component) | redis_login(redis)


def start(children: Processes, kafka: KafkaService, redis: RedisService) -> None:
    commands = {"orchestrator": ["orchestrator"], "memory": ["memory"], **{name: ["pool", name] for name in BUILT_IN}}
    for name, command in commands.items():
        children.start(name, command, logins(kafka, redis, name))


async def ready(client: FinAgentOrchestrator, children: Processes) -> None:
    async with asyncio.timeout(READY_S):
        while (await client.get_health_status())["status"] != "healthy":
            children.check()
            await asyncio.sleep(0.1)


@pytest.mark.redis
async def test_a_strategy_trades_with_every_process_under_its_own_user(
    kafka: KafkaService,
    redis: RedisService,
    keys: Keys,
    settings: Settings,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = {
        **{f"FINAGENT_KAFKA__{key.upper()}": value for key, value in kafka_settings(kafka).items()},
        **{f"FINAGENT_REDIS__{key.upper()}": value for key, value in redis_settings(redis).items()},
    }
    for name, value in logins(kafka, redis, "client").items():
        monkeypatch.setenv(name, value)
    client = FinAgentOrchestrator(settings=settings)
    await client.initialize()
    try:
        with processes(folder / "logs", environment) as children:
            start(children, kafka, redis)
            await ready(client, children)
            names = ("signals", "targets", "risk", "orders", "fills", "positions")
            async with tail(client.broker, client.serde, names) as followed:
                await client.start_strategy(rotation(), check_history=False, run_id="rotation")
                feed = ["feed", "sample", "--symbols", ",".join(rotation().symbols), "--json"]
                feed += ["--start", "2012-01-03", "--end", "2012-02-10"]
                children.start("feed", feed, logins(kafka, redis, "feed"))
                fed = children.running.pop("feed")
                assert await asyncio.to_thread(fed.wait, 90) == 0, children.log("feed").read_text()
                assert _told(children.log("feed"))["slices"] == 28
                await followed.slice_done(await _last_slice(client), client.partitions, 90)
            done = {event.record.topic for event in followed.events}
            assert done == set(names)
            assert sum(type(event.message).__name__ == "OrderFilled" for event in followed.events) > 3
            _check_hidden(keys, folder)
            children.check()
    finally:
        await client.shutdown()


def _told(log: Path) -> dict[str, Any]:
    """Return what a feed said at its end."""
    lines = log.read_text()
    told: dict[str, Any] = json.loads(lines[lines.index("{") :])
    return told


async def _last_slice(client: FinAgentOrchestrator) -> int:
    """Return the time of the last slice on the log, ns UTC."""
    place = TopicPartition("bars", 0)
    last = -1
    async with client.broker.reader(await client.broker.beginnings([place])) as reader:
        end = (await client.broker.ends([place]))[place]
        while reader.position(place) < end:
            for record in await reader.poll(1):
                last = max(last, client.serde.decode(record.value).ts_event)
    return last


def _check_hidden(keys: Keys, folder: Path) -> None:
    """Assert that no password stands in a command line, or in a log of a process or service."""
    passwords = [path.read_text().strip() for path in (keys.folder / "passwords").iterdir()]
    assert len(passwords) > 10
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert any("kafka.Kafka" in line for line in lines)
    logs = [path.read_text(errors="replace") for path in folder.rglob("*.log")]
    assert len(logs) > 8
    for text in (*lines, *logs):
        assert not any(password in text for password in passwords)


@pytest.mark.redis
def test_the_commands_of_the_document_work(folder: Path, kafka: KafkaService, redis: RedisService) -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    script = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
    shim = folder / "bin" / "finagent"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m infra.cli "$@"\n')
    shim.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FINAGENT_")}
    environment |= {"PATH": f"{shim.parent}:{environment['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder.parent, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert kafka.bootstrap in done.stdout
    assert "500 rows of ticks" in done.stdout
    assert "under bt.copy." in done.stdout
    assert "Kafka denies WRITE on transactional id feed to this client" in done.stderr
    assert json.loads(done.stdout[done.stdout.rindex("\n[") :])[-1]["principal"] == "breakout"


def test_a_second_start_keeps_certificates_users_and_data(kafka: KafkaService, keys: Keys, folder: Path) -> None:
    # The last test of this module, since it stops the broker.
    before = {path: path.read_bytes() for path in (keys.folder).rglob("*") if path.is_file()}
    stop_kafka(folder / "kafka")
    again = start_kafka(folder / "kafka")  # without --secure: what was secure stays so
    assert again.security == kafka.security
    assert {path: path.read_bytes() for path in before} == before
    asyncio.run(_still_let_in(again, keys))
    with pytest.raises(ServiceError, match="holds a cluster without security in"):
        start_kafka(folder / "kafka", security=folder / "another")


async def _still_let_in(kafka: KafkaService, keys: Keys) -> None:
    async with connected(kafka, user(keys, "alpha")) as broker:
        assert (await broker.ends([TopicPartition("bars.dlq", 0)]))[TopicPartition("bars.dlq", 0)] > 0


def test_a_certificate_is_made_anew_in_time_by_the_same_authority(tmp_path: Path) -> None:
    keys = Keys.kept_in(tmp_path, now())
    authority, broker = keys.ca.read_bytes(), keys.certificate(BROKER).read_bytes()
    Keys.kept_in(tmp_path, now() + dt.timedelta(days=360))
    assert (keys.ca.read_bytes(), keys.certificate(BROKER).read_bytes()) == (authority, broker)
    Keys.kept_in(tmp_path, now() + dt.timedelta(days=370))
    assert keys.ca.read_bytes() == authority
    assert keys.certificate(BROKER).read_bytes() != broker
