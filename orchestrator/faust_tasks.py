"""The partitions that this process owns, each with the transactions that only its owner can commit."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack

from orchestrator.faust_kept import POOL
from streams.broker import Broker, Transactions
from streams.errors import Fenced
from streams.record import Record, TopicPartition


class Tasks:
    """Owner of some partitions; whoever takes one later fences it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._held: dict[int, Transactions] = {}
        self._open: list[AsyncExitStack] = []

    async def take(self, partitions: Collection[int]) -> None:
        """Own these and no others: their former owners are fenced, and what those left open is settled."""
        await self.release()
        taken = await asyncio.gather(*map(self._taken, partitions), return_exceptions=True)
        for error in taken:
            if isinstance(error, BaseException):
                raise error

    async def _taken(self, partition: int) -> None:
        self._open.append(opened := AsyncExitStack())
        transactions = self._broker.transactions(f"{POOL}.{partition}", group=POOL)
        self._held[partition] = await opened.enter_async_context(transactions)

    async def release(self) -> None:
        """Own nothing."""
        self._held, opened, self._open = {}, self._open, []
        await asyncio.gather(*(each.aclose() for each in opened))

    async def commit(self, partition: int, records: Sequence[Record], offsets: Mapping[TopicPartition, int]) -> None:
        """Write records and input offsets of a partition, all or nothing."""
        transactions = self._held.get(partition)
        if transactions is None:
            raise Fenced(f"{POOL}.{partition} is not owned by this process any more")
        await transactions.commit(records, offsets)
