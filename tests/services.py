"""Give tests a real Kafka and a real Redis: the environment's, else Docker's, else started on this machine."""

import io
import os
import socket
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.services import KafkaService, RedisService, ServiceError, start_kafka, start_redis, stop_kafka, stop_redis
from infra.services.jars import kafka_version
from infra.services.kafka_config import cluster_settings
from infra.services.kafka_ready import broker_ids
from infra.services.processes import wait_until

KAFKA_VARIABLE = "FINAGENT_KAFKA_BOOTSTRAP"
REDIS_VARIABLE = "FINAGENT_REDIS_URL"
REDIS_IMAGE = "redis:7.2-alpine"
DOCKER_PING_TIMEOUT_S = 2
CONTAINER_TIMEOUT_S = 60.0
START_SCRIPT = "/tmp/start-kafka.sh"


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a real Kafka, shared by the session's tests."""
    with _failing_clearly():
        if given := os.environ.get(KAFKA_VARIABLE):
            _await_kafka(given, timeout_s=10)
            yield given
        elif docker_answers():
            with kafka_container() as address:
                yield address
        else:
            with local_kafka(tmp_path_factory.mktemp("kafka")) as service:
                yield service.bootstrap


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a real Redis, shared by the session's tests."""
    with _failing_clearly():
        if given := os.environ.get(REDIS_VARIABLE):
            yield given
        elif docker_answers():
            with redis_container() as url:
                yield url
        else:
            with local_redis(tmp_path_factory.mktemp("redis")) as service:
                yield service.url


@pytest.fixture
def prefix() -> str:
    """Give a prefix of topics and groups that no other test has."""
    return f"test-{uuid.uuid4().hex[:12]}."


@contextmanager
def local_kafka(folder: Path, brokers: int = 1, security: Path | None = None) -> Iterator[KafkaService]:
    """Run Kafka in the folder for the length of the block; security: the folder of a secure one's keys."""
    with _stopped_in_any_case("stop_kafka", folder):
        try:
            yield start_kafka(folder, brokers, security=security)
        finally:
            stop_kafka(folder)


@contextmanager
def local_redis(folder: Path, security: Path | None = None) -> Iterator[RedisService]:
    """Run Redis in the folder for the length of the block; security: the folder of a secure one's keys."""
    with _stopped_in_any_case("stop_redis", folder):
        try:
            yield start_redis(folder, security=security)
        finally:
            stop_redis(folder)


@contextmanager
def _stopped_in_any_case(function: str, folder: Path) -> Iterator[None]:
    call = f"import pathlib, infra.services as s; s.{function}(pathlib.Path({str(folder)!r}))"
    # The pipe closes with this process whatever ends it, even SIGKILL: only then does the shell read on.
    command = ["/bin/sh", "-c", 'read -r line; exec "$@"', "sh", sys.executable, "-c", call]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True
    ) as watcher:
        try:
            yield
        finally:
            watcher.kill()


@contextmanager
def _failing_clearly() -> Iterator[None]:
    try:
        yield
    except ServiceError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def _await_kafka(bootstrap: str, timeout_s: float) -> None:
    wait_until(lambda: bool(broker_ids(bootstrap)), timeout_s, f"Kafka at {bootstrap} did not answer")


def docker_answers() -> bool:
    """Tell whether a Docker engine answers, without waiting long for one."""
    try:
        import docker
        from requests import RequestException
    except ImportError:
        return False
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    # Asked first, because docker's client leaves the socket of a refused connection open.
    if host.startswith("unix://") and not _accepts(host.removeprefix("unix://")):
        return False
    try:
        client = docker.from_env(timeout=DOCKER_PING_TIMEOUT_S)
    except (docker.errors.DockerException, RequestException):
        return False
    try:
        return bool(client.ping())
    except (docker.errors.DockerException, RequestException):
        return False
    finally:
        client.close()


def _accepts(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(DOCKER_PING_TIMEOUT_S)
        return probe.connect_ex(path) == 0


@contextmanager
def redis_container() -> Iterator[str]:
    """Run Redis in a container for the length of the block, and give its URL."""
    from testcontainers.community.redis import RedisContainer

    with RedisContainer(REDIS_IMAGE) as redis:
        yield f"redis://{redis.get_container_host_ip()}:{redis.get_exposed_port(redis.port)}/0"


@contextmanager
def kafka_container() -> Iterator[str]:
    """Run Apache's own image for the length of the block, and give its address."""
    from testcontainers.core.container import DockerContainer

    # testcontainers' KafkaContainer runs Confluent's images only. The broker must advertise a port that is known
    # once the container runs, so its command waits for a script that we put there afterwards.
    wait = f"while [ ! -f {START_SCRIPT} ]; do sleep 0.1; done; exec sh {START_SCRIPT}"
    container = DockerContainer(f"apache/kafka:{kafka_version()}").with_exposed_ports(9092).with_envs(**kafka_env())
    with container.with_command(["sh", "-c", wait]) as running:
        address = f"{running.get_container_host_ip()}:{running.get_exposed_port(9092)}"
        listeners = f"PLAINTEXT://{address},BROKER://localhost:9094"
        script = f"export KAFKA_ADVERTISED_LISTENERS={listeners}\nexec /etc/kafka/docker/run\n"
        running.get_wrapped_container().put_archive("/", _archive(START_SCRIPT, script))
        _await_kafka(address, CONTAINER_TIMEOUT_S)
        yield address


def kafka_env() -> dict[str, str]:
    """Return the image's settings, all of them: giving one turns its defaults off."""
    # The broker calls itself for transactions, hence a listener that is reached from inside the container.
    listeners = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": "PLAINTEXT://:9092,BROKER://localhost:9094,CONTROLLER://localhost:9093",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "BROKER",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": "1@localhost:9093",
        "log.dirs": "/tmp/kraft-combined-logs",
    }
    settings = listeners | cluster_settings(brokers=1)
    return {"KAFKA_" + name.replace(".", "_").upper(): str(value) for name, value in settings.items()}


def _archive(path: str, text: str) -> bytes:
    content = text.encode()
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.size, entry.mode = len(content), 0o644
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.addfile(entry, io.BytesIO(content))
        return buffer.getvalue()
