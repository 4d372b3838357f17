"""A cluster of three brokers that can be killed, brought back, cut off and healed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from infra.chaos.addresses import Listeners, hosts_file, new_listeners, properties, wires
from infra.chaos.wires import Wire
from infra.services.errors import ServiceError
from infra.services.kafka_config import new_cluster_id
from infra.services.kafka_launch import format_storage, java_command
from infra.services.kafka_state import MAIN
from infra.services.processes import is_running, kill, spawn, tail

BROKERS = 3
START_S = 180.0
LED_S = 30.0
"""How long a partition may be without a leader while a majority of the brokers runs."""
_HEAP = "-Xmx320m"
_AGAIN_S = 0.2
_ASK_S = 5.0


@dataclass
class Brokers:
    """Three brokers, each also a controller, and the wires between them and to their clients."""

    folder: Path
    nodes: Sequence[Listeners]
    wires: dict[int, list[Wire]]
    pids: dict[int, int] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path) -> AsyncIterator[Brokers]:
        """Run a new cluster in a folder until the block ends."""
        nodes = new_listeners(BROKERS)
        cluster = cls(folder, nodes, wires(nodes))
        try:
            await cluster._start()
            yield cluster
        finally:
            await asyncio.to_thread(kill, cluster.pids.values())
            for wire in cluster._all_wires():
                wire.close()

    @property
    def for_clients(self) -> str:
        """Return the bootstrap of the system's programs."""
        return ",".join(node.for_clients for node in self.nodes)

    @property
    def for_observers(self) -> str:
        """Return the bootstrap of the harness itself."""
        return ",".join(node.for_observers for node in self.nodes)

    def _all_wires(self) -> list[Wire]:
        return list({id(wire): wire for each in self.wires.values() for wire in each}.values())

    def _home(self, node_id: int) -> Path:
        return self.folder / f"broker-{node_id}"

    async def _start(self) -> None:
        for wire in self._all_wires():
            await wire.open()
        await asyncio.to_thread(self._prepare)
        for node in self.nodes:
            await self.start(node.node_id)
        await self.in_sync(START_S)

    def _prepare(self) -> None:
        for node in self.nodes:
            home = self._home(node.node_id)
            home.mkdir(parents=True)
            (home / "server.properties").write_text(properties(node, self.nodes))
            (home / "hosts").write_text(hosts_file(node, self.nodes))
        format_storage([self._home(node.node_id) for node in self.nodes], new_cluster_id(), java_command())

    async def start(self, node_id: int) -> None:
        """Start one broker's process."""
        home = self._home(node_id)
        command = [*java_command(_HEAP, "-Djdk.net.hosts.file=hosts"), MAIN, "server.properties"]
        self.pids[node_id] = await asyncio.to_thread(spawn, command, home, home / "broker.log")

    async def kill(self, node_id: int) -> None:
        """End one broker as kill -9 does."""
        await asyncio.to_thread(kill, [self.pids[node_id]])

    def cut_off(self, node_id: int) -> None:
        """Let nothing through to a broker or from it, and say nothing to anybody."""
        for wire in self.wires[node_id]:
            wire.sever()

    def heal(self, node_id: int) -> None:
        """Let everything through again."""
        for wire in self.wires[node_id]:
            wire.heal()

    def check(self, away: int | None = None) -> None:
        """Raise ServiceError where a broker other than the one that is away has ended by itself."""
        for node_id, pid in self.pids.items():
            home = self._home(node_id)
            if node_id != away and not is_running(pid, home, MAIN):
                raise ServiceError(f"Kafka broker {node_id} ended by itself: {tail(home / 'broker.log')}")

    async def leader(self, topic: str, partition: int) -> int:
        """Return the node id of a partition's leader, as the majority sees it, once it has one."""
        try:
            async with asyncio.timeout(LED_S):
                while (found := (await self._leaders()).get((topic, partition), -1)) < 0:  # noqa: ASYNC110
                    await asyncio.sleep(_AGAIN_S)
                return found
        except TimeoutError:
            raise ServiceError(f"{topic}[{partition}] had no leader for {LED_S:g} s") from None

    async def _leaders(self) -> dict[tuple[str, int], int]:
        try:
            described = await self._topics()
        except (KafkaError, OSError, TimeoutError):
            return {}
        return {(topic["topic"], p["partition"]): p["leader"] for topic in described for p in topic["partitions"]}

    async def in_sync(self, timeout_s: float) -> None:
        """Return once all brokers serve and every partition has all its replicas in sync."""
        what = f"the brokers were not in sync within {timeout_s:g} s"
        try:
            async with asyncio.timeout(timeout_s):
                while not await self._all_in_sync():  # noqa: ASYNC110 - metadata has no event
                    await asyncio.sleep(_AGAIN_S)
        except TimeoutError:
            logs = "; ".join(f"{n}: {tail(self._home(n) / 'broker.log', 1)}" for n in self.pids)
            raise ServiceError(f"{what}: {logs}") from None

    async def _all_in_sync(self) -> bool:
        try:
            # Each is asked by its own address: the others go on naming one that is away.
            clusters = [await self._asked("describe_cluster", node.for_observers) for node in self.nodes]
            topics = await self._topics()
        except (KafkaError, OSError, TimeoutError):
            return False
        partitions = [partition for topic in topics for partition in topic["partitions"]]
        known = all(len(cluster["brokers"]) == len(self.nodes) for cluster in clusters)
        return known and all(len(each["isr"]) == len(each["replicas"]) for each in partitions)

    async def _topics(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._asked("describe_topics", self.for_observers)
        return found

    async def _asked(self, question: str, bootstrap: str) -> Any:
        # A client of its own for each question: one that is kept would ask a broker whose answers are old.
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=int(_ASK_S * 1000))
        try:
            async with asyncio.timeout(_ASK_S):
                await admin.start()
                return await getattr(admin, question)()
        finally:
            await admin.close()
