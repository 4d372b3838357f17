"""The orchestrator's table in Faust; like faust_app it is imported by faust_setup only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import faust
from faust.types import TP

from orchestrator.faust_app import App
from orchestrator.faust_kept import TABLE, Forgotten, Kept
from streams.serde import Serde
from streams.topics import changelog

_FORGOTTEN = b"\xff"
"""Before the partition in the key of its Forgotten; no workflow_id, which is UTF-8, begins with it."""


class WorkflowTable(faust.Table[bytes, bytes]):
    """States of workflows by id, in memory and in a changelog topic.

    Unlike its base class it can be written from a timer, waits until a write is durable, and lets go of the keys of
    partitions that went to another process.
    """

    def __init__(self, app: App, prefix: str, partitions: int, serde: Serde) -> None:
        super().__init__(app, name=TABLE, key_type=bytes, value_type=bytes, partitions=partitions)
        self._changelog_name = prefix + changelog(TABLE)
        self._owner = app
        self._serde = serde
        self._writes: list[Any] = []
        self._running: dict[str, Kept] = {}
        self._partition = 0
        self._rebalance = -1
        app.tables.add(self)

    def _changelog_topic_name(self) -> str:
        return self._changelog_name

    def kept(self, workflow_id: str) -> Kept | None:
        """Return a workflow's state, or None where there is none."""
        running = self._running.get(workflow_id)
        if running is not None:
            return running
        value = self.data.get(workflow_id.encode())
        return None if value is None else Kept.decode(value, self._serde)

    async def keep(self, states: Mapping[str, Kept]) -> None:
        """Write states by workflow_id; they are durable when this returns."""
        self._writes = []
        for workflow_id, kept in states.items():
            self._partition = kept.partition
            self[workflow_id.encode()] = kept.encode(self._serde)
            self._running[workflow_id] = kept
            if kept.workflow.status != "running":
                del self._running[workflow_id]
        # Faust only buffers them; awaited here, no offset can be committed before them.
        await asyncio.gather(*self._writes)

    def forgotten(self, partition: int) -> int:
        """Return the offset of the last command of the partition whose workflow is forgotten; -1 for none."""
        value = self.data.get(_FORGOTTEN + str(partition).encode())
        return -1 if value is None else Forgotten.decode(value, self._serde).offset

    async def forget(self, workflow_ids: Sequence[str]) -> None:
        """Drop states, having noted the offsets of their commands; durable when this returns."""
        self._writes = []
        gone = [kept for name in workflow_ids if (kept := self.kept(name)) is not None]
        for partition in {kept.partition for kept in gone}:
            last = max(kept.offset for kept in gone if kept.partition == partition)
            noted = Forgotten(offset=max(last, self.forgotten(partition)))
            self._partition = partition
            # One producer writes in order, so no state is gone before this stands.
            self[_FORGOTTEN + str(partition).encode()] = noted.encode(self._serde)
        for kept in gone:
            self._partition = kept.partition
            del self[kept.workflow.workflow_id.encode()]
        await asyncio.gather(*self._writes)

    def on_key_set(self, key: bytes, value: bytes) -> None:
        """Write to the changelog partition that the workflow belongs to."""
        self._writes.append(self.send_changelog(self._partition, key, value))

    def on_key_del(self, key: bytes) -> None:
        """Write a tombstone to the changelog partition that the workflow belongs to."""
        self._writes.append(self.send_changelog(self._partition, key, None, value_serializer="raw"))

    def states(self) -> Iterator[Kept]:
        """Yield all states."""
        for key, value in self.data.items():
            if not key.startswith(_FORGOTTEN):
                yield Kept.decode(value, self._serde)

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Note which rebalance the recovery that follows is for."""
        self._rebalance = self.app.rebalancing_count
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Forget what others own now, before anyone is told of the recovery."""
        await self._serde.learn(list(self.data.values()))
        mine = {partition for _, partition in active_tps}
        self._running = {}
        # Faust's memory store itself drops only keys that it has recovered, not those written since.
        for kept in list(self.states()):
            if kept.partition not in mine:
                self.data.pop(kept.workflow.workflow_id.encode(), None)
                self.data.pop(_FORGOTTEN + str(kept.partition).encode(), None)
        self._owner.recovered = self._rebalance
        await super().on_recovery_completed(active_tps, standby_tps)
