"""Who reaches a broker where: every way to it is an address of its own, so that each can be cut by itself."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from itertools import islice

from pydantic import BaseModel, ConfigDict

from infra.chaos.wires import Wire
from infra.services.kafka_config import cluster_settings
from infra.services.ports import HOST, free_ports

_CLIENTS = "127.0.100"
_OBSERVERS = "127.0.99"
_BROKERS = 100
"""Broker s reaches broker d at 127.0.(100 + s).d."""


class Listeners(BaseModel):
    """The ports of one broker; each is bound on 127.0.0.1, and reached over wires from other loopback addresses."""

    model_config = ConfigDict(frozen=True)

    node_id: int
    client: int
    """For the system's programs."""
    internal: int
    """For other brokers."""
    controller: int
    """For the quorum."""
    observer: int
    """For the harness: a wire that closes connections where the others hold them, so that it reads from the rest."""

    @property
    def name(self) -> str:
        """Return the host name by which other brokers know it; each resolves it by a file of its own."""
        return f"broker-{self.node_id}"

    @property
    def for_clients(self) -> str:
        """Return host:port for the system's programs."""
        return f"{_CLIENTS}.{self.node_id}:{self.client}"

    @property
    def for_observers(self) -> str:
        """Return host:port for the harness."""
        return f"{_OBSERVERS}.{self.node_id}:{self.observer}"


def new_listeners(brokers: int) -> tuple[Listeners, ...]:
    """Give each broker its free ports."""
    ports = islice(free_ports(), 4 * brokers)
    return tuple(
        Listeners(node_id=i, client=next(ports), internal=next(ports), controller=next(ports), observer=next(ports))
        for i in range(1, brokers + 1)
    )


def wires(nodes: Sequence[Listeners]) -> dict[int, list[Wire]]:
    """Return every wire to or from each broker, by node id; one between two brokers stands under both."""
    found: dict[int, list[Wire]] = {node.node_id: [] for node in nodes}
    for node in nodes:
        found[node.node_id].append(_wire(_CLIENTS, node, node.client))
        found[node.node_id].append(_wire(_OBSERVERS, node, node.observer, holds=False))
        for other in (each for each in nodes if each != node):
            between = [_wire(_from(other), node, port) for port in (node.internal, node.controller)]
            found[node.node_id] += between
            found[other.node_id] += between
    return found


def _wire(network: str, node: Listeners, port: int, *, holds: bool = True) -> Wire:
    return Wire((f"{network}.{node.node_id}", port), (HOST, port), holds=holds)


def _from(source: Listeners) -> str:
    return f"127.0.{_BROKERS + source.node_id}"


def hosts_file(node: Listeners, nodes: Sequence[Listeners]) -> str:
    """Return the names that one broker's JVM resolves (jdk.net.hosts.file): the others by the wires from it."""
    return "".join(f"{address} {name}\n" for address, name in _hosts(node, nodes))


def _hosts(node: Listeners, nodes: Sequence[Listeners]) -> Iterator[tuple[str, str]]:
    for name in ("localhost", node.name, socket.gethostname()):
        yield HOST, name
    for other in nodes:
        if other != node:
            yield f"{_from(node)}.{other.node_id}", other.name


def properties(node: Listeners, nodes: Sequence[Listeners]) -> str:
    """Return the properties file of one broker."""
    bound = {"CLIENT": node.client, "INTERNAL": node.internal, "OBSERVER": node.observer}
    reached = {
        "CLIENT": node.for_clients,
        "INTERNAL": f"{node.name}:{node.internal}",
        "OBSERVER": node.for_observers,
        "CONTROLLER": f"{node.name}:{node.controller}",
    }
    bound["CONTROLLER"] = node.controller
    settings = cluster_settings(len(nodes)) | {
        "process.roles": "broker,controller",
        "node.id": node.node_id,
        "listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in bound.items()),
        "advertised.listeners": ",".join(f"{name}://{place}" for name, place in reached.items()),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in bound),
        "inter.broker.listener.name": "INTERNAL",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": ",".join(f"{n.node_id}@{n.name}:{n.controller}" for n in nodes),
        "log.dirs": "data",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())
