"""Run a real Apache Kafka of one or three brokers on this machine."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from infra.security.files import private_folder
from infra.security.keys import Keys
from infra.services.errors import ServiceError
from infra.services.folder import load, locked
from infra.services.jars import kafka_version
from infra.services.kafka_launch import STOP_GRACE_S, await_ready, launch
from infra.services.kafka_state import KafkaState, alive, new_state
from infra.services.processes import stop

DEFAULT_FOLDER = Path(".finagent/kafka")
START_TIMEOUT_S = 60.0
# The last controller of a cluster waits 5 s for voters that are gone; by then the data is long closed.
CLUSTER_STOP_GRACE_S = 3.0


@dataclass(frozen=True)
class BrokerProcess:
    """Tell of one broker."""

    node_id: int
    pid: int
    """The last known process, also when it is no longer alive."""
    port: int
    alive: bool
    certificate_port: int = 0
    """Where a secure broker takes clients by their certificates."""


@dataclass(frozen=True)
class KafkaService:
    """Tell of a local cluster."""

    bootstrap: str
    """The brokers' addresses as clients want them, comma-separated."""
    version: str
    folder: Path
    brokers: tuple[BrokerProcess, ...]
    security: Path | None = None
    """The folder of a secure cluster's certificates and passwords."""


def start_kafka(
    folder: Path = DEFAULT_FOLDER,
    brokers: int = 1,
    *,
    security: Path | None = None,
    timeout_s: float = START_TIMEOUT_S,
) -> KafkaService:
    """Start the brokers that don't run, on the folder's earlier data if any, and return once all of them serve.

    security: the folder of certificates and passwords, for a secure cluster; one that was secure once stays so. Its
    users have no passwords and no rights yet.
    """
    if brokers not in (1, 3):
        raise ServiceError(f"Expected 1 or 3 brokers, got {brokers}")
    folder = folder.resolve()
    with locked(folder):
        security = security.resolve() if security else None
        state = load(folder, KafkaState) or new_state(kafka_version(), brokers, security)
        if security not in (None, state.security):
            raise ServiceError(f"{folder} holds a cluster without security in {security}: take another folder")
        if state.security is not None:
            private_folder(folder)
            Keys.kept_in(state.security, dt.datetime.now(dt.UTC))
        if len(state.nodes) != brokers:
            raise ServiceError(f"Expected {brokers} brokers in {folder}, it holds a cluster of {len(state.nodes)}")
        if down := [node for node in state.nodes if not alive(folder, node)]:
            state = launch(folder, state, down, timeout_s)
        else:
            # An earlier start may have been cut short.
            await_ready(folder, state, timeout_s)
        return _service(folder, state)


def stop_kafka(folder: Path = DEFAULT_FOLDER) -> None:
    """Stop the folder's brokers, and keep their data; does nothing where none runs."""
    folder = folder.resolve()
    if load(folder, KafkaState) is None:
        return
    with locked(folder):
        state = load(folder, KafkaState)
        running = [node.pid for node in state.nodes if alive(folder, node)] if state else []
        stop(running, STOP_GRACE_S if len(running) <= 1 else CLUSTER_STOP_GRACE_S)


def kafka_status(folder: Path = DEFAULT_FOLDER) -> KafkaService | None:
    """Tell of the folder's brokers, running or not; None where none was ever started."""
    folder = folder.resolve()
    state = load(folder, KafkaState)
    return None if state is None else _service(folder, state)


def _service(folder: Path, state: KafkaState) -> KafkaService:
    brokers = tuple(
        BrokerProcess(node.node_id, node.pid, node.port, alive(folder, node), node.certificate_port)
        for node in state.nodes
    )
    return KafkaService(state.bootstrap, state.version, folder, brokers, state.security)
