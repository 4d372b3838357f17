"""The partitions that this process owns, each with the transactions that only its owner can commit."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack

from orchestrator.faust_kept import POOL, TABLE
from streams.broker import Broker, Transactions
from streams.errors import Fenced
from streams.reading import end_for_owner
from streams.record import Record, TopicPartition
from streams.topics import changelog


class Tasks:
    """Owner of some partitions; whoever takes one later fences it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._held: dict[int, Transactions] = {}
        self._open: list[AsyncExitStack] = []

    async def take(self, partitions: Collection[int]) -> dict[TopicPartition, int]:
        """Own these and no others: their former owners are fenced, and what those left open is settled.

        Returns where the partitions of the changelog end.
        """
        await self.release()
        ends: dict[TopicPartition, int] = {}
        for taken in await asyncio.gather(*map(self._taken, sorted(partitions)), return_exceptions=True):
            if isinstance(taken, BaseException):
                raise taken
            ends |= taken
        return ends

    async def _taken(self, partition: int) -> dict[TopicPartition, int]:
        self._open.append(opened := AsyncExitStack())
        transactions = self._broker.transactions(f"{POOL}.{partition}", group=POOL)
        held = self._held[partition] = await opened.enter_async_context(transactions)
        place = TopicPartition(changelog(TABLE), partition)
        return {place: await end_for_owner(held, place)}

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
