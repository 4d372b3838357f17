"""How long a task takes to restore its state from its changelog, with and without a snapshot.

python -m tests.performance.restore [RECORDS]; on FINAGENT_KAFKA_BOOTSTRAP and FINAGENT_REDIS_URL, one JSON line. The
changelog has 50 keys of about 600 bytes and is as before compaction, the worst case; the snapshot stands 10 commits
before its end, as after a crash.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from typing import Any

from pydantic import Field

from streams.broker import Broker, TopicConfig, Transactions
from streams.ids import derive_id
from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.reading import end_for_owner
from streams.record import Record, TopicPartition
from streams.redis_store import RedisStore
from streams.serde import Serde
from streams.snapshots import SnapshotPolicy, Snapshots
from streams.state import State, StateTable
from streams.store import MemoryStore, Store
from streams.topics import changelog

POOL, KEYS, AT_ONCE, AFTER = "risk", 50, 20, 10
_CHANGELOG = TopicPartition(changelog(POOL), 0)
_SERDE = Serde()


class Account(State):
    """About as much as risk keeps of an account."""

    number: int = 0
    reserved: dict[str, float] = Field(default_factory=dict)


async def restore_times(bootstrap: str, redis_url: str, records: int) -> dict[str, Any]:
    """Write a changelog of so many records, and restore it both ways."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    broker, store = KafkaBroker(KafkaOptions(bootstrap, prefix=prefix)), RedisStore(redis_url, prefix)
    await broker.start()
    await store.start()
    try:
        await broker.create_topics({changelog(POOL): TopicConfig(1)})
        size = await _write(broker, store, records)
        whole, by_snapshot = await _timed(broker, MemoryStore()), await _timed(broker, store)
        found = {"states": KEYS, "snapshot_bytes": size, "whole": whole, "by_snapshot": by_snapshot}
        return {"benchmark": "restore", **found, "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    finally:
        for key in await store.scan(""):
            await store.delete(key)
        await store.stop()
        await broker.stop()


async def _write(broker: Broker, store: Store, records: int) -> int:
    """Write the changelog, with a snapshot some commits before its end; return the snapshot's size in bytes."""
    commits = records // ((KEYS + 1) * AT_ONCE)
    async with broker.transactions(f"{POOL}.0") as transactions:
        table, snapshots = StateTable(POOL, 0, _SERDE, sealed=True), Snapshots(SnapshotPolicy(store, 0.0), f"{POOL}.0")
        await snapshots.restore(table, broker, await end_for_owner(transactions, _CHANGELOG))
        for number in range(commits):
            await _commit(table, transactions, number)
            if number == commits - AFTER:
                snapshots.offer(table)
        await snapshots.stop()
    return len(await store.get(f"snapshot:{POOL}.0") or b"")


async def _commit(table: StateTable, transactions: Transactions, number: int) -> None:
    changes: list[Record] = []
    for turn in range(AT_ONCE):
        for key in range(KEYS):
            account = table.get(Account, f"acct-{key}")
            account.number = number * AT_ONCE + turn + 1
            account.reserved = account.reserved or {derive_id(f"acct-{key}", POOL, i): 1000.0 * i for i in range(12)}
        changes += table.changes()
    table.committed((await transactions.commit(changes))[-1])


async def _timed(broker: Broker, store: Store) -> dict[str, Any]:
    table = StateTable(POOL, 0, _SERDE, sealed=True)
    began = time.perf_counter()
    [end] = (await broker.ends([_CHANGELOG])).values()
    await Snapshots(SnapshotPolicy(store, 10.0), f"{POOL}.0").restore(table, broker, end)
    return {"seconds": round(time.perf_counter() - began, 3), "records_read": table.records_read}


if __name__ == "__main__":
    services = os.environ["FINAGENT_KAFKA_BOOTSTRAP"], os.environ["FINAGENT_REDIS_URL"]
    print(json.dumps(asyncio.run(restore_times(*services, int(sys.argv[1]) if len(sys.argv) > 1 else 200_000))))
