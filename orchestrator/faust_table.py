"""The orchestrator's table: states of workflows in memory, and their changelog."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.faust_kept import TABLE, Effects, Forgotten, Kept
from streams.broker import Broker, Offsets
from streams.reading import read_whole
from streams.record import OddKey, Received, Record
from streams.serde import Serde
from streams.topics import changelog

_FORGOTTEN = b"\xff"
"""Before the partition in the key of its Forgotten; no workflow_id, which is UTF-8, begins with it."""


class WorkflowTable:
    """States of workflows by id, of the partitions that this process owns."""

    def __init__(self, serde: Serde) -> None:
        self._serde = serde
        self._held: dict[str, Kept | bytes] = {}
        self._forgotten: dict[int, int] = {}

    async def restore(self, broker: Broker, ends: Offsets) -> None:
        """Read partitions of the changelog to their ends, and let go of everything else."""
        self._held, self._forgotten = {}, {}
        if not ends:
            return
        async for record in read_whole(broker, list(ends), ends=ends):
            self._restore(record)

    def _restore(self, record: Received) -> None:
        if record.odd_key is not None:
            if record.value is not None:
                self._forgotten[record.partition] = Forgotten.decode(record.value, self._serde).offset
        elif record.value is None:
            self._held.pop(record.key, None)
        else:
            self._held[record.key] = record.value

    def kept(self, workflow_id: str) -> Kept | None:
        """Return a workflow's state, or None where there is none."""
        held = self._held.get(workflow_id)
        return Kept.decode(held, self._serde) if isinstance(held, bytes) else held

    def forgotten(self, partition: int) -> int:
        """Return the offset of the last command of the partition whose workflow is forgotten; -1 for none."""
        return self._forgotten.get(partition, -1)

    def states(self) -> Iterator[Kept]:
        """Yield all states."""
        for workflow_id in self._held:
            kept = self.kept(workflow_id)
            assert kept is not None
            yield kept

    def changes(self, effects: Effects) -> list[Record]:
        """Return the changelog records of new states and of what is forgotten."""
        records = [self._record(effects, name, kept.encode(self._serde)) for name, kept in effects.states.items()]
        if effects.gone:
            noted = Forgotten(offset=self._last_gone(effects))
            odd = OddKey(_FORGOTTEN + str(effects.partition).encode())
            records.append(self._record(effects, "", noted.encode(self._serde), odd))
        return [*records, *(self._record(effects, name, None) for name in effects.gone)]

    def _record(self, effects: Effects, key: str, value: bytes | None, odd: OddKey | None = None) -> Record:
        return Record(changelog(TABLE), key, value, (), effects.partition, odd_key=odd)

    def _last_gone(self, effects: Effects) -> int:
        offsets = [kept.offset for name in effects.gone if (kept := self.kept(name)) is not None]
        return max([self.forgotten(effects.partition), *offsets])

    def take_over(self, effects: Effects) -> None:
        """Hold what was committed."""
        for name, kept in effects.states.items():
            # Ended ones are many and seldom asked for: as bytes they are small.
            self._held[name] = kept if kept.workflow.status == "running" else kept.encode(self._serde)
        if effects.gone:
            self._forgotten[effects.partition] = self._last_gone(effects)
        for name in effects.gone:
            del self._held[name]
