"""Snapshots in the store: they let a task start without reading its whole changelog, and are never trusted.

Losing them, or the store, costs time alone: the changelog holds everything, and vouches for each snapshot that is used.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from streams.broker import Broker
from streams.errors import StoreError, UnfitSnapshot
from streams.snapshot import Snapshot
from streams.state import StateTable
from streams.store import Store

log = logging.getLogger("finagent.snapshots")
PREFIX = "snapshot:"
"""Stands before a task's id in the store."""
KEPT_S = 7 * 86_400.0
"""A snapshot that was not renewed for so long is dropped by the store: its task is gone."""
LIMIT_S = 5.0
"""Time for reading or writing one."""
GRACE_S = 1.0
"""Time for one that is being written when its task stops."""


@dataclass(frozen=True)
class SnapshotPolicy:
    """Where snapshots are kept, and how often they are made."""

    store: Store
    every_s: float


class Snapshots:
    """The snapshots of one task: one write at a time, which its loop does not wait for."""

    def __init__(self, policy: SnapshotPolicy, task: str) -> None:
        self._policy = policy
        self._task = task
        self._offset = -1
        self._due = 0.0
        self._saving: asyncio.Task[None] | None = None
        self._available = True

    async def restore(self, table: StateTable, broker: Broker, end: int) -> None:
        """Restore a table from the snapshot and what follows it, or where none fits from its whole changelog to end."""
        self._due = asyncio.get_running_loop().time() + self._policy.every_s
        try:
            snapshot = await self._load()
            if snapshot is not None:
                await table.resume(broker, snapshot, end)
                self._offset = snapshot.offset
                log.info("%s: restored from a snapshot and %d records", self._task, table.records_read)
                return
        except UnfitSnapshot as error:
            log.warning("%s: its snapshot is not used, the whole changelog is read: %s", self._task, error)
        await table.restore(broker, end)
        log.info("%s: restored from %d records", self._task, table.records_read)

    async def _load(self) -> Snapshot | None:
        try:
            async with asyncio.timeout(LIMIT_S):
                data = await self._policy.store.get(PREFIX + self._task)
        except (StoreError, TimeoutError) as error:
            self._lost(error)
            return None
        if data is None:
            return None
        snapshot = await asyncio.to_thread(Snapshot.decode, data)
        if snapshot.task != self._task:
            raise UnfitSnapshot(f"it is of {snapshot.task!r}")
        return snapshot

    def offer(self, table: StateTable) -> None:
        """Begin to save the table, as it is committed, where it is time to; nothing may be uncommitted in it."""
        if self._saving is not None and self._saving.done():
            self._saving.result()  # what the store refuses is no error, anything else is
            self._saving = None
        now = asyncio.get_running_loop().time()
        if self._saving is not None or now < self._due or table.offset == self._offset:
            return
        self._due = now + self._policy.every_s
        if (snapshot := table.snapshot()) is not None:
            self._saving = asyncio.create_task(self._save(snapshot), name=f"snapshot {self._task}")

    async def _save(self, snapshot: Snapshot) -> None:
        data = await asyncio.to_thread(snapshot.encode)
        try:
            async with asyncio.timeout(LIMIT_S):
                await self._policy.store.set(PREFIX + self._task, data, KEPT_S)
        except (StoreError, TimeoutError) as error:
            self._lost(error)
            return
        self._offset = snapshot.offset
        if not self._available:
            log.info("%s: snapshots again", self._task)
        self._available = True

    def _lost(self, error: Exception) -> None:
        """Note an outage once; that the store is away is said by the process's heartbeat."""
        if self._available:
            log.info("%s: no snapshots for now: %s", self._task, error or "the store did not answer in time")
        self._available = False

    async def stop(self) -> None:
        """Let a write that is under way end, for a moment; then give it up."""
        saving, self._saving = self._saving, None
        if saving is not None:
            await asyncio.wait([saving], timeout=GRACE_S)
            saving.cancel()
            await asyncio.wait([saving])
