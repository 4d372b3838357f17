"""Write a local broker's settings."""

import base64
import uuid
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from infra.services.ports import HOST


class Node(BaseModel):
    """Describe one broker, which is also a controller."""

    model_config = ConfigDict(frozen=True)

    node_id: int
    port: int
    controller_port: int
    pid: int = 0
    """The last known process; 0 before the first start."""


def new_cluster_id() -> str:
    """Make a random cluster id in Kafka's form, 22 characters of base64.

    None that starts with a dash: the storage tool would take it for an option.
    """
    while (name := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        continue
    return name


def bootstrap(nodes: Sequence[Node]) -> str:
    """Join the brokers' addresses, as clients want them."""
    return ",".join(f"{HOST}:{node.port}" for node in nodes)


def server_properties(node: Node, nodes: Sequence[Node]) -> str:
    """Return the properties file of one node among its cluster."""
    settings = _listeners(node, nodes) | cluster_settings(len(nodes))
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def cluster_settings(brokers: int) -> dict[str, object]:
    """Return the settings that all brokers of a small, quick cluster share."""
    return _replication(brokers) | _FAST


def _listeners(node: Node, nodes: Sequence[Node]) -> dict[str, object]:
    return {
        "process.roles": "broker,controller",
        "node.id": node.node_id,
        "listeners": f"PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{node.port}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": ",".join(f"{n.node_id}@{HOST}:{n.controller_port}" for n in nodes),
        # Relative to the node's folder, so that no character of its path needs escaping.
        "log.dirs": "data",
    }


def _replication(brokers: int) -> dict[str, object]:
    factor, min_isr = (3, 2) if brokers >= 3 else (1, 1)
    return {
        "default.replication.factor": factor,
        "min.insync.replicas": min_isr,
        "offsets.topic.replication.factor": factor,
        "transaction.state.log.replication.factor": factor,
        "transaction.state.log.min.isr": min_isr,
        "share.coordinator.state.topic.replication.factor": factor,
        "share.coordinator.state.topic.min.isr": min_isr,
    }


_FAST: dict[str, object] = {
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": 0,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.num.partitions": 4,
    # After a kill -9 a producer's open transaction holds back read_committed readers until this scan.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    "broker.heartbeat.interval.ms": 500,
    "broker.session.timeout.ms": 3000,
    # The default of 128 MB is a quarter of the heap we give.
    "log.cleaner.dedupe.buffer.size": 4_194_304,
}
