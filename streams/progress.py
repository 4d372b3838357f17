"""Which input offsets are handled, where records are handled out of their partition's order."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

from streams.record import Received, TopicPartition

_SPARE = 1000
"""Offsets that have left and are still in a queue, before it is made anew."""
Span = tuple[int, int]
"""Offsets from the first up to, without, the second."""


class Progress:
    """Track per partition the offset below which everything is handled, and what is handled beyond it.

    It holds an entry for each record that waits, and one for each run of offsets handled beyond a waiting one: a flood
    of dead letters behind a record that waits for its slice costs no more than one of them.
    """

    def __init__(self, done_ahead: Mapping[str, Sequence[Span]]) -> None:
        self._done: dict[TopicPartition, _Spans] = {}
        self._waiting: dict[TopicPartition, _Waiting] = {}
        self.waiting = 0
        """Records seen and not yet handled."""
        self.waiting_bytes = 0
        """Bytes of their values."""
        for name, spans in done_ahead.items():
            topic, _, partition = name.rpartition(":")
            self._done[TopicPartition(topic, int(partition))] = _Spans(spans)

    def seen(self, record: Received) -> bool:
        """Note a record that was read; return whether it is still to be handled."""
        place = TopicPartition(record.topic, record.partition)
        if place in self._done and record.offset in self._done[place]:
            return False
        self._waiting.setdefault(place, _Waiting()).add(record.offset)
        self.waiting += 1
        self.waiting_bytes += len(record.value or b"")
        return True

    def done(self, record: Received) -> None:
        """Note that a record is handled."""
        place = TopicPartition(record.topic, record.partition)
        waiting = self._waiting[place]
        waiting.remove(record.offset)
        self.waiting -= 1
        self.waiting_bytes -= len(record.value or b"")
        first = waiting.first()
        if first is not None and first < record.offset:
            if place not in self._done:
                self._done[place] = _Spans()
            self._done[place].add(record.offset)

    def low_water(self, place: TopicPartition, position: int) -> int:
        """Return the first offset not handled; position where all that was read is handled."""
        first = self._waiting[place].first() if place in self._waiting else None
        low = position if first is None else first
        if place in self._done:
            self._done[place].drop_below(low)
        return low

    def done_ahead(self) -> dict[str, list[Span]]:
        """Return the runs of offsets handled beyond each low water, by topic:partition."""
        spans = {place.name: list(done) for place, done in self._done.items()}
        return {name: runs for name, runs in spans.items() if runs}


class _Waiting:
    """Offsets that are taken in in order and leave in any."""

    def __init__(self) -> None:
        self._offsets: set[int] = set()
        self._order: deque[int] = deque()

    def add(self, offset: int) -> None:
        self._offsets.add(offset)
        self._order.append(offset)

    def remove(self, offset: int) -> None:
        self._offsets.remove(offset)
        if len(self._order) > 2 * len(self._offsets) + _SPARE:
            self._order = deque(sorted(self._offsets))

    def first(self) -> int | None:
        """Return the lowest one; None for none."""
        while self._order and self._order[0] not in self._offsets:
            self._order.popleft()
        return self._order[0] if self._order else None


class _Spans:
    """A set of whole numbers as runs, apart from one another and in order."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        pairs = list(spans)
        self._begins = [begin for begin, _ in pairs]
        self._ends = [end for _, end in pairs]

    def __iter__(self) -> Iterator[Span]:
        return iter(zip(self._begins, self._ends, strict=True))

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._begins, number) - 1
        return index >= 0 and number < self._ends[index]

    def add(self, number: int) -> None:
        """Add a number that is not in it."""
        index = bisect_right(self._begins, number)
        after = index > 0 and self._ends[index - 1] == number
        before = index < len(self._begins) and self._begins[index] == number + 1
        if after and before:
            self._ends[index - 1] = self._ends.pop(index)
            del self._begins[index]
        elif after:
            self._ends[index - 1] = number + 1
        elif before:
            self._begins[index] = number
        else:
            self._begins.insert(index, number)
            self._ends.insert(index, number + 1)

    def drop_below(self, number: int) -> None:
        """Forget the runs that end by a number."""
        index = bisect_right(self._ends, number)
        del self._begins[:index], self._ends[:index]
