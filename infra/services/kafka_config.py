"""Write a local broker's settings."""

import base64
import uuid
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from infra.security.keys import ADMIN, BROKER, Keys
from infra.services.ports import HOST

MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256")
"""How users of a secure cluster may prove their passwords."""
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"


class Node(BaseModel):
    """Describe one broker, which is also a controller."""

    model_config = ConfigDict(frozen=True)

    node_id: int
    port: int
    controller_port: int
    certificate_port: int = 0
    """Where a secure broker takes clients by their certificates, other brokers too; 0: it is not secure."""
    pid: int = 0
    """The last known process; 0 before the first start."""

    @property
    def ports(self) -> tuple[int, ...]:
        """Return the ports that it listens on."""
        return tuple(filter(None, (self.port, self.controller_port, self.certificate_port)))


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


def server_properties(node: Node, nodes: Sequence[Node], keys: Keys | None = None) -> str:
    """Return the properties file of one node among its cluster; keys make it secure."""
    settings = _listeners(node, nodes) | cluster_settings(len(nodes))
    if keys is not None:
        settings |= _secure_listeners(node) | _tls(keys) | _AUTHORIZED
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


def _secure_listeners(node: Node) -> dict[str, object]:
    public = f"SASL_SSL://{HOST}:{node.port},SSL://{HOST}:{node.certificate_port}"
    return {
        "listeners": f"{public},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": public,
        "listener.security.protocol.map": "SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:SSL",
        "inter.broker.listener.name": "SSL",
        "sasl.enabled.mechanisms": ",".join(MECHANISMS),
        **{
            f"listener.name.sasl_ssl.{mechanism.lower()}.sasl.jaas.config": f"{_SCRAM} required;"
            for mechanism in MECHANISMS
        },
        "listener.name.ssl.ssl.client.auth": "required",
        "listener.name.controller.ssl.client.auth": "required",
    }


def _tls(keys: Keys) -> dict[str, object]:
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": _escaped(keys.certificate(BROKER)),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": _escaped(keys.ca),
        # A certificate's common name is the user.
        "ssl.principal.mapping.rules": "RULE:^CN=(.*)$/$1/",
    }


def _escaped(path: Path) -> str:
    """Return a path as a properties file writes it; its characters beyond ASCII are read as Latin-1 there."""
    text = str(path.resolve()).replace("\\", "\\\\")
    return "".join(char if char.isascii() else f"\\u{ord(char):04x}" for char in text)


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


_AUTHORIZED: dict[str, object] = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": f"User:{BROKER};User:{ADMIN}",
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
