"""Which input offsets are handled, where records are handled out of their partition's order."""

from __future__ import annotations

from collections import deque

from streams.record import Received, TopicPartition


class Progress:
    """Track per partition the offset below which everything is handled, and what is handled beyond it."""

    def __init__(self, done_ahead: dict[str, list[int]]) -> None:
        self._done: dict[TopicPartition, set[int]] = {}
        self._pending: dict[TopicPartition, deque[int]] = {}
        self.waiting = 0
        """Records seen and not yet handled."""
        for name, offsets in done_ahead.items():
            topic, _, partition = name.rpartition(":")
            self._done[TopicPartition(topic, int(partition))] = set(offsets)

    def seen(self, record: Received) -> bool:
        """Note a record that was read; return whether it is still to be handled."""
        place = TopicPartition(record.topic, record.partition)
        self._pending.setdefault(place, deque()).append(record.offset)
        if record.offset in self._done.get(place, ()):
            return False
        self.waiting += 1
        return True

    def done(self, record: Received) -> None:
        """Note that a record is handled."""
        self._done.setdefault(TopicPartition(record.topic, record.partition), set()).add(record.offset)
        self.waiting -= 1

    def low_water(self, place: TopicPartition, position: int) -> int:
        """Return the first offset not handled; position where all that was read is handled."""
        pending, done = self._pending.get(place), self._done.get(place)
        while pending and done and pending[0] in done:
            done.discard(pending.popleft())
        return pending[0] if pending else position

    def done_ahead(self) -> dict[str, list[int]]:
        """Return the offsets handled beyond each low water, by topic:partition."""
        return {f"{place.topic}:{place.partition}": sorted(done) for place, done in self._done.items() if done}
