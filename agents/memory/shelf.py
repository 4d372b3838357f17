"""Which events are kept: of each topic those with the highest positions, none recorded before the horizon.

Of copies of one event the highest position counts. So what is kept depends on what was read and not on the order of
reading: a cap for each index, too, would make it depend on which index overflowed first.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence

from agents.memory.entry import Entry
from agents.memory.keys import id_of, recorded_before


class Shelf:
    """Positions of the kept events by topic, as the store has them."""

    def __init__(self, max_events: int, kept: Mapping[str, Sequence[str]] | None = None) -> None:
        self._max_events = max_events
        self._topics: dict[str, list[str]] = {}
        self._places: dict[str, tuple[str, str]] = {}
        for topic, positions in (kept or {}).items():
            self._topics[topic] = list(positions)
            self._places.update((id_of(position), (topic, position)) for position in positions)

    def __len__(self) -> int:
        return len(self._places)

    def take(self, entries: Iterable[Entry], horizon: int) -> tuple[list[Entry], dict[str, tuple[str, str]]]:
        """Take entries in; return those to write, and by id the topic and position of those to forget before that.

        horizon: ns UTC; what was recorded before it is forgotten.
        """
        fresh: dict[str, Entry] = {}
        gone: dict[str, tuple[str, str]] = {}
        for entry in entries:
            known = self._places.get(entry.message_id)
            if known is not None and known[1] >= entry.position:
                continue
            if known is not None:
                self._forget(entry.message_id, fresh, gone)
            insort(self._topics.setdefault(entry.topic, []), entry.position)
            self._places[entry.message_id] = (entry.topic, entry.position)
            fresh[entry.message_id] = entry
        for positions in self._topics.values():
            surplus = max(len(positions) - self._max_events, bisect_left(positions, recorded_before(horizon)), 0)
            for position in positions[:surplus]:
                self._forget(id_of(position), fresh, gone)
        return list(fresh.values()), gone

    def _forget(self, message_id: str, fresh: dict[str, Entry], gone: dict[str, tuple[str, str]]) -> None:
        topic, position = self._places.pop(message_id)
        positions = self._topics[topic]
        del positions[bisect_left(positions, position)]
        if fresh.pop(message_id, None) is None:
            gone[message_id] = (topic, position)
