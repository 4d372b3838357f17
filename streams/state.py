"""State that belongs to a key, and the changelog that it is restored from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas import StateSaved
from streams.broker import Broker
from streams.errors import UnreadableState
from streams.reading import read_whole
from streams.record import Record, TopicPartition
from streams.serde import Serde
from streams.topics import changelog

S = TypeVar("S", bound="State")


class State(BaseModel):
    """What a pool remembers for one key; every field needs a default and must survive JSON unchanged."""

    model_config = ConfigDict(extra="forbid", validate_assignment=False)


class StateTable:
    """A task's states by class and key; whatever was handed out is written with the next commit."""

    def __init__(self, pool: str, partition: int, serde: Serde) -> None:
        self._place = TopicPartition(changelog(pool), partition)
        self._pool = pool
        self._serde = serde
        self._saved: dict[str, str] = {}
        self._live: dict[str, State] = {}
        self._touched: set[str] = set()

    async def restore(self, broker: Broker) -> None:
        """Read the changelog partition to its end; the newest record of a key wins."""
        async for record in read_whole(broker, [self._place]):
            self._restore(record.key, record.value)

    def _restore(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._saved.pop(key, None)
            return
        saved = self._serde.decode(value)
        assert isinstance(saved, StateSaved)
        self._saved[key] = saved.state

    def get(self, kind: type[S], key: str) -> S:
        """Return the state of a key, made from its defaults where there is none; it counts as changed."""
        name = f"{kind.__name__}:{key}"
        self._touched.add(name)
        state = self._live.get(name)
        if state is None:
            saved = self._saved.get(name)
            state = self._live[name] = kind() if saved is None else self._read(kind, name, saved)
        assert isinstance(state, kind)
        return state

    def _read(self, kind: type[S], name: str, saved: str) -> S:
        try:
            return kind.model_validate_json(saved)
        except ValidationError as error:
            more = ", ".join(".".join(map(str, each["loc"])) for each in error.errors(include_input=False))
            raise UnreadableState(
                f"{self._place.topic}[{self._place.partition}] {name}: this release cannot read {more}: a newer one "
                "saved it, start the pool from that"
            ) from None

    def keys(self, kind: type[State]) -> Iterator[str]:
        """Yield the keys that have a state of this class, in order."""
        prefix = f"{kind.__name__}:"
        for name in sorted({*self._live, *self._saved}):
            if name.startswith(prefix):
                yield name.removeprefix(prefix)

    def drop(self, kind: type[State], key: str) -> None:
        """Forget the state of a key; its changelog gets a tombstone with the next commit."""
        name = f"{kind.__name__}:{key}"
        self._live.pop(name, None)
        self._touched.add(name)

    def changes(self) -> list[Record]:
        """Return changelog records of the states that changed since the last call."""
        records = []
        for name in sorted(self._touched):
            text = self._live[name].model_dump_json() if name in self._live else None
            if self._saved.get(name) != text:
                records.append(self._record(name, text))
                self._saved |= {name: text} if text is not None else {}
            if text is None:
                self._saved.pop(name, None)
        self._touched.clear()
        return records

    def _record(self, name: str, text: str | None) -> Record:
        value = None
        if text is not None:
            value = self._serde.encode(StateSaved(pool=self._pool, key=name, state=text))
        return Record(self._place.topic, name, value, (), self._place.partition)
