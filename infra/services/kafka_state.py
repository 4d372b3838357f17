"""Keep what is known of a local cluster, and where its brokers live."""

from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from infra.security.keys import Keys
from infra.services.kafka_config import Node, bootstrap, new_cluster_id
from infra.services.ports import free_ports
from infra.services.processes import is_running

MAIN = "kafka.Kafka"
"""The broker's main class, by which its process is recognised."""


class KafkaState(BaseModel):
    """Hold what state.json keeps of a cluster between calls."""

    model_config = ConfigDict(frozen=True)

    version: str
    cluster_id: str
    bootstrap: str
    nodes: tuple[Node, ...]
    security: Path | None = None
    """The folder of a secure cluster's certificates and passwords."""

    @property
    def keys(self) -> Keys | None:
        """Return a secure cluster's keys."""
        return Keys(self.security) if self.security else None


def new_state(version: str, brokers: int, security: Path | None = None) -> KafkaState:
    """Plan a cluster that was never started."""
    nodes = new_nodes(brokers, secure=security is not None)
    cluster_id = new_cluster_id()
    return KafkaState(
        version=version, cluster_id=cluster_id, bootstrap=bootstrap(nodes), nodes=nodes, security=security
    )


def new_nodes(brokers: int, *, secure: bool = False) -> tuple[Node, ...]:
    """Give each broker its free ports."""
    ports = islice(free_ports(), 3 * brokers)
    return tuple(
        Node(
            node_id=i,
            port=next(ports),
            controller_port=next(ports),
            certificate_port=next(ports) if secure else 0,
        )
        for i in range(1, brokers + 1)
    )


def home(folder: Path, node: Node) -> Path:
    """Return the folder of one broker, the working directory of its process."""
    return folder / f"broker-{node.node_id}"


def log(folder: Path, node: Node) -> Path:
    """Return the file with all that a broker prints."""
    return home(folder, node) / "broker.log"


def alive(folder: Path, node: Node) -> bool:
    """Tell whether the broker's process runs."""
    return node.pid != 0 and is_running(node.pid, home(folder, node), MAIN)
