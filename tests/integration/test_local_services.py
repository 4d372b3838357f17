"""Hold the services that run on this machine to what they promise, on the real servers."""

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.services import (
    KafkaService,
    ServiceError,
    kafka_status,
    redis_status,
    start_kafka,
    start_redis,
    stop_kafka,
    stop_redis,
)
from infra.services.jars import cached_jars
from infra.services.ports import is_open
from infra.services.processes import kill
from tests.services import local_kafka, local_redis

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("one broker")


@pytest.fixture
def one_broker(folder: Path) -> Iterator[KafkaService]:
    with local_kafka(folder) as service:
        yield service


@pytest.fixture
def stopped(folder: Path) -> KafkaService:
    if kafka_status(folder) is None:
        start_kafka(folder)
    stop_kafka(folder)
    service = kafka_status(folder)
    assert service is not None
    return service


async def create_topic(bootstrap: str, topic: NewTopic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([topic])
    finally:
        await admin.close()


async def produce(bootstrap: str, topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        await producer.send_and_wait(topic, value)


async def first_value(bootstrap: str, topic: str) -> bytes | None:
    async with AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        return (await consumer.getone()).value


@pytest.mark.kafka
async def test_a_record_outlives_a_stop(one_broker: KafkaService, folder: Path) -> None:
    await create_topic(one_broker.bootstrap, NewTopic("records", 1, 1))
    await produce(one_broker.bootstrap, "records", b"kept")

    stop_kafka(folder)
    stopped = kafka_status(folder)
    assert stopped is not None
    assert [broker.alive for broker in stopped.brokers] == [False]
    assert not is_open(one_broker.brokers[0].port)

    again = start_kafka(folder)
    assert again.bootstrap == one_broker.bootstrap
    assert await first_value(again.bootstrap, "records") == b"kept"


@pytest.mark.kafka
def test_status_and_a_second_start_tell_of_the_running_broker(one_broker: KafkaService, folder: Path) -> None:
    assert [broker.alive for broker in one_broker.brokers] == [True]
    assert kafka_status(folder) == one_broker
    assert start_kafka(folder) == one_broker


@pytest.mark.kafka
def test_another_number_of_brokers_is_refused(one_broker: KafkaService, folder: Path) -> None:
    with pytest.raises(ServiceError, match=r"Expected 3 brokers in .*, it holds a cluster of 1"):
        start_kafka(folder, brokers=3)


@pytest.mark.kafka
def test_a_taken_port_is_replaced(stopped: KafkaService, folder: Path) -> None:
    port = stopped.brokers[0].port
    with socket.create_server(("127.0.0.1", port)), local_kafka(folder) as moved:
        assert moved.brokers[0].port != port


@pytest.mark.kafka
def test_a_broker_that_dies_at_its_start_is_reported_with_its_log(stopped: KafkaService, folder: Path) -> None:
    identity = folder / "broker-1" / "data" / "meta.properties"
    kept = identity.read_text()
    identity.write_text(kept.replace("node.id=1", "node.id=7"))
    with pytest.raises(ServiceError, match=r"broker 1 died at its start, see .*broker\.log: .*node.id"):
        start_kafka(folder)
    identity.write_text(kept)


@pytest.mark.kafka
def test_a_foreign_process_with_a_broker_s_pid_is_left_alone(stopped: KafkaService, folder: Path) -> None:
    state = folder / "state.json"
    state.write_text(re.sub(r'"pid": \d+', f'"pid": {os.getpid()}', state.read_text()))

    status = kafka_status(folder)
    assert status is not None
    assert [(broker.pid, broker.alive) for broker in status.brokers] == [(os.getpid(), False)]
    stop_kafka(folder)


@pytest.mark.kafka
async def test_three_brokers_replicate_and_a_killed_one_comes_back(tmp_path: Path) -> None:
    with local_kafka(tmp_path, brokers=3) as service:
        assert len(service.bootstrap.split(",")) == 3
        await create_topic(service.bootstrap, NewTopic("replicated", 1, 3))
        await produce(service.bootstrap, "replicated", b"thrice")

        survivors = {service.brokers[0].pid, service.brokers[2].pid}
        kill([service.brokers[1].pid])
        status = kafka_status(tmp_path)
        assert status is not None
        assert [broker.alive for broker in status.brokers] == [True, False, True]

        whole = start_kafka(tmp_path, brokers=3)
        assert [broker.alive for broker in whole.brokers] == [True, True, True]
        assert whole.bootstrap == service.bootstrap
        assert {broker.pid for broker in whole.brokers} & {broker.pid for broker in service.brokers} == survivors
        assert await first_value(whole.bootstrap, "replicated") == b"thrice"


def test_kafka_without_java_names_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ServiceError, match=r"Kafka needs Java 17 or newer"):
        start_kafka(tmp_path)


def test_kafka_with_an_old_java_names_both_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "java", "echo 'openjdk version \"11.0.2\"' >&2")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ServiceError, match=r'Java 17 or newer.*openjdk version "11\.0\.2"'):
        start_kafka(tmp_path / "kafka")


def test_an_empty_cache_without_maven_names_maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINAGENT_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServiceError, match=r"install it .*maven"):
        cached_jars()


def test_a_failed_download_gives_maven_s_reason_and_leaves_no_jars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "mvn", "echo '[ERROR] Could not resolve kafka_2.13'; exit 1")
    monkeypatch.setenv("FINAGENT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(ServiceError, match=r"check the network .* Could not resolve"):
        cached_jars()
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.redis
def test_redis_keeps_its_data_over_a_kill(tmp_path: Path) -> None:
    with local_redis(tmp_path) as service:
        with redis.Redis.from_url(service.url) as client:
            client.set("key", "kept")
        kill([service.pid])
        killed = redis_status(tmp_path)
        assert killed is not None
        assert not killed.alive

        again = start_redis(tmp_path)
        assert (again.alive, again.url) == (True, service.url)
        with redis.Redis.from_url(again.url) as client:
            assert client.get("key") == b"kept"


@pytest.mark.redis
def test_a_second_start_of_redis_returns_the_running_one_until_its_stop(tmp_path: Path) -> None:
    assert redis_status(tmp_path) is None
    with local_redis(tmp_path) as service:
        assert start_redis(tmp_path) == service
        stop_redis(tmp_path)
        stopped = redis_status(tmp_path)
        assert stopped is not None
        assert not stopped.alive


@pytest.mark.kafka
async def test_the_shared_kafka_serves(kafka_bootstrap: str, prefix: str) -> None:
    await create_topic(kafka_bootstrap, NewTopic(f"{prefix}records", 1, 1))
    await produce(kafka_bootstrap, f"{prefix}records", b"served")
    assert await first_value(kafka_bootstrap, f"{prefix}records") == b"served"


@pytest.mark.redis
def test_the_shared_redis_serves(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
