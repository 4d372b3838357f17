"""Partitions that a reader no longer gets anything of although there is more: what a client library may not notice."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from streams.record import TopicPartition

WATCH_S = 10.0
"""Time between two looks."""


class Stalls:
    """Compares positions from look to look; a partition that is behind and did not move in two of them is stuck."""

    def __init__(self, positions: Mapping[TopicPartition, int], now: float) -> None:
        self._last = dict(positions)
        self._looked = now
        self._held: set[TopicPartition] = set()
        self._behind: set[TopicPartition] = set()

    def resumed(self, partitions: Collection[TopicPartition]) -> None:
        """Note that partitions were paused until now: no wonder that they have not moved."""
        self._held.update(partitions)

    def standing(
        self, positions: Mapping[TopicPartition, int], paused: Collection[TopicPartition], now: float
    ) -> list[TopicPartition]:
        """Return the partitions to look at: those that have not moved since the last look, once that is WATCH_S ago."""
        if now < self._looked + WATCH_S:
            return []
        self._looked = now
        held = self._held.union(paused)
        standing = [place for place, at in positions.items() if self._last[place] == at and place not in held]
        self._last, self._held = dict(positions), set()
        self._behind.intersection_update(standing)
        return standing

    def stuck(self, ends: Mapping[TopicPartition, int]) -> list[TopicPartition]:
        """Return those that have more, by the ends of what stands, and had more at the last look."""
        behind = {place for place, end in ends.items() if end > self._last[place]}
        stuck, self._behind = sorted(behind & self._behind), behind
        return stuck
