"""One write of the memory: what comes, what goes, and how far the log has been read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.memory.entry import Entry, references_of
from agents.memory.keys import LAYOUT, RUNS, event_key, topic_key
from schemas import StrategyStarted
from streams.record import TopicPartition
from streams.store import Changes


@dataclass
class Writing:
    """Collects what one write changes."""

    put: dict[str, bytes] = field(default_factory=dict)
    _delete: set[str] = field(default_factory=set)
    _remove: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    _add: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))

    def forget(self, topic: str, position: str, document: Mapping[str, Any]) -> None:
        """Take an event away, and out of every set that it belongs to."""
        self._delete.add(event_key(document["message_id"]))
        for key in (topic_key(topic), *references_of(document)):
            self._remove[key].add(position.encode())

    def keep(self, entry: Entry) -> None:
        """Put an event, and into every set that it belongs to."""
        self.put[event_key(entry.message_id)] = entry.value()
        for key in (topic_key(entry.topic), *references_of(entry.document)):
            self._add[key].add(entry.position.encode())

    def note_runs(self, entries: Iterable[Entry]) -> None:
        """List the runs that begin."""
        for entry in entries:
            if isinstance(entry.message, StrategyStarted):
                self._add[RUNS].add(f"{entry.message.ts_event:019d} {entry.message.run_id}".encode())

    def changes(self) -> Changes:
        """Return the changes for the store."""
        return Changes(self._delete, self._remove, self.put, self._add)


def offsets_value(offsets: Mapping[TopicPartition, int]) -> bytes:
    """Return offsets as they are stored."""
    tree: dict[str, dict[str, int]] = defaultdict(dict)
    for (topic, partition), offset in sorted(offsets.items()):
        tree[topic][str(partition)] = offset
    return json.dumps({"layout": LAYOUT, "offsets": tree}).encode()


def offsets_of(value: bytes | None) -> dict[TopicPartition, int] | None:
    """Return stored offsets; None where there are none of this layout."""
    found = json.loads(value) if value else {}
    if found.get("layout") != LAYOUT:
        return None
    return {
        TopicPartition(topic, int(partition)): offset
        for topic, partitions in found["offsets"].items()
        for partition, offset in partitions.items()
    }
