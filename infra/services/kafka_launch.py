"""Format, start and await the brokers of a local cluster."""

import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from infra.security.files import write_private
from infra.services.errors import ServiceError
from infra.services.folder import save
from infra.services.jars import cached_jars, find_java, kafka_version
from infra.services.kafka_config import Node, bootstrap, server_properties
from infra.services.kafka_ready import broker_ids
from infra.services.kafka_state import MAIN, KafkaState, alive, home, log, new_nodes
from infra.services.ports import HOST, become_free, is_open
from infra.services.processes import spawn, stop, tail, wait_until

STOP_GRACE_S = 10.0
FORMAT_TIMEOUT_S = 60.0
JVM_OPTIONS = "KAFKA_JVM_PERFORMANCE_OPTS"
"""The variable by which Kafka's own scripts take options of the JVM."""
# The first compiler alone took about half the default's processor time in loads of some seconds, and shorter trips; a
# broker under load for a minute is better off with both.
_QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# Figures for jps and the like are kept in files of one folder for all JVMs of a user. To clear it of those that killed
# ones have left, a JVM goes to work in it as it starts, so a look then would take it for a program of somebody else.
_JVM = ("-Xmx512m", "-Djava.awt.headless=true", "-XX:-UsePerfData")
_LOG4J = Path(__file__).with_name("log4j2.xml")


def launch(folder: Path, state: KafkaState, down: Sequence[Node], timeout_s: float) -> KafkaState:
    """Start the brokers that are down, and return the cluster's state once all brokers serve."""
    command = java_command()
    taken = not become_free([port for node in down for port in node.ports])
    if taken and len(down) == len(state.nodes):
        down = new_nodes(len(down), secure=state.security is not None)
        state = state.model_copy(update={"nodes": down})
    _prepare(folder, state, command)
    started = {node.node_id: _start(folder, node, command) for node in down}
    nodes = tuple(started.get(node.node_id, node) for node in state.nodes)
    state = state.model_copy(update={"nodes": nodes, "bootstrap": bootstrap(nodes), "version": kafka_version()})
    try:
        save(folder, state)
        await_ready(folder, state, timeout_s)
    except BaseException:
        stop([node.pid for node in started.values()], STOP_GRACE_S)
        raise
    return state


def await_ready(folder: Path, state: KafkaState, timeout_s: float) -> None:
    """Return once every broker itself answers with metadata that names them all."""
    # Each is asked, since the others go on naming a killed one for a while after it was started again.
    for node in state.nodes:
        what = f"Kafka broker {node.node_id} did not answer, see {log(folder, node)},"
        wait_until(partial(_serves, folder, state, node), timeout_s, what)


def _serves(folder: Path, state: KafkaState, node: Node) -> bool:
    for other in state.nodes:
        if not alive(folder, other):
            path = log(folder, other)
            raise ServiceError(f"Kafka broker {other.node_id} died at its start, see {path}: {tail(path)}")
    everyone = frozenset(other.node_id for other in state.nodes)
    if not is_open(node.port):
        return False
    if (keys := state.keys) is None:
        return broker_ids(f"{HOST}:{node.port}") == everyone
    # Its users may not exist yet, so the administrator comes with a certificate.
    return broker_ids(f"{HOST}:{node.certificate_port}", security=keys.admin()) == everyone


def java_command(*more: str) -> list[str]:
    """Return how Kafka's classes are run, their name to be added; more options of the JVM go before the defaults."""
    options = [*os.environ.get(JVM_OPTIONS, _QUICK).split(), *_JVM, *more]
    return [find_java(), *options, f"-Dlog4j2.configurationFile={_LOG4J.as_uri()}", "-cp", f"{cached_jars()}/*"]


def _start(folder: Path, node: Node, command: list[str]) -> Node:
    pid = spawn([*command, MAIN, "server.properties"], home(folder, node), log(folder, node))
    return node.model_copy(update={"pid": pid})


def _prepare(folder: Path, state: KafkaState, command: list[str]) -> None:
    for node in state.nodes:
        home(folder, node).mkdir(exist_ok=True)
        properties = server_properties(node, state.nodes, state.keys)
        write_private(home(folder, node) / "server.properties", properties.encode())
    format_storage([home(folder, node) for node in state.nodes], state.cluster_id, command)


def format_storage(homes: Sequence[Path], cluster_id: str, command: Sequence[str]) -> None:
    """Format the storage of brokers that never ran; their server.properties stand in their homes."""
    fresh = [path for path in homes if not (path / "data" / "meta.properties").exists()]
    tool = [*command, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", "server.properties"]
    with ThreadPoolExecutor(len(homes)) as threads:
        list(threads.map(partial(_format, tool), fresh))


def _format(tool: list[str], path: Path) -> None:
    try:
        subprocess.run(tool, cwd=path, capture_output=True, text=True, timeout=FORMAT_TIMEOUT_S, check=True)
    except subprocess.CalledProcessError as error:
        lines = (error.stdout + error.stderr).strip().splitlines()
        raise ServiceError(f"Kafka could not format {path}: {' | '.join(lines[-3:])}") from error
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"Kafka did not format {path} within {FORMAT_TIMEOUT_S:.0f} s") from error
