"""State that belongs to a key, and the changelog that it is restored from."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas import StateSaved
from streams.broker import Broker
from streams.errors import UnfitSnapshot, UnreadableState
from streams.reading import MARK, read_whole
from streams.record import Received, Record, TopicPartition
from streams.serde import Serde
from streams.snapshot import Snapshot
from streams.table_digest import TableDigest
from streams.topics import changelog

S = TypeVar("S", bound="State")


class State(BaseModel):
    """What a pool remembers for one key; every field needs a default and must survive JSON unchanged."""

    model_config = ConfigDict(extra="forbid", validate_assignment=False)


class Seal(State):
    """The last record of a commit's changes: it names the digest of the whole table, itself left out."""

    digest: str = ""


_SEAL = f"{Seal.__name__}:table"


class StateTable:
    """A task's states by class and key; whatever was handed out is written with the next commit.

    sealed: each commit's changes end with the table's seal, which snapshots are held against.
    """

    def __init__(self, pool: str, partition: int, serde: Serde, *, sealed: bool = False) -> None:
        self._place = TopicPartition(changelog(pool), partition)
        self._pool = pool
        self._serde = serde
        self._sealed = sealed
        self._start({})

    def _start(self, saved: Mapping[str, str]) -> None:
        self._saved = dict(saved)
        self._live: dict[str, State] = {}
        self._touched: set[str] = set()
        self._digest: TableDigest | None = None
        self._seal: str | None = None
        self.offset = -1
        """Of the newest record of the changelog that the table holds; -1: none."""
        self.records_read = 0
        """Records that it was restored from."""

    async def restore(self, broker: Broker, end: int | None = None) -> None:
        """Read the changelog partition to its end; the newest record of a key wins.

        end: where that is for certain, as its owner knows it; None: where the broker says that it is.
        """
        self._start({})
        async for record in read_whole(broker, [self._place], ends=None if end is None else {self._place: end}):
            self._restore(record)
        await self._restored()

    async def resume(self, broker: Broker, snapshot: Snapshot, end: int) -> None:
        """Go on from a snapshot: read the changelog from its offset on, and hold the table against the last seal.

        The record at the snapshot's offset must be the seal that it was taken at, unless compaction has dropped it. In
        any case the last change of the changelog before end, which compaction never drops, must name the digest of what
        comes out. So the log alone vouches for every state, whoever can write to the store. Raises UnfitSnapshot that
        says what does not fit; restore then has to follow.
        """
        self._start(snapshot.states)
        place, name = self._place, f"{self._place.topic}[{self._place.partition}]"
        begin = (await broker.beginnings([place]))[place]
        if not begin <= snapshot.offset < end:
            raise UnfitSnapshot(f"it was taken at offset {snapshot.offset}, and {name} has {begin} to {end - 1}")
        if str(await asyncio.to_thread(TableDigest, snapshot.states)) != snapshot.digest:
            raise UnfitSnapshot("its states are not those that its digest names: it was changed")
        async for record in read_whole(broker, [place], {place: snapshot.offset}, {place: end}):
            self._restore(record)
            if record.offset == snapshot.offset and self._seal != snapshot.digest:
                raise UnfitSnapshot(f"it was not taken at what {name} has at offset {record.offset}: of another log")
        if self._seal is None:
            raise UnfitSnapshot(f"the last change of {name} is no seal: written without snapshots, or from outside")
        await self._restored()
        if str(self._digest) != self._seal:
            raise UnfitSnapshot(f"with what follows it, it does not give the states that {name} ends with")

    def _restore(self, record: Received) -> None:
        if record.odd_key == MARK:
            return
        self.records_read += 1
        self.offset, self._seal = record.offset, None
        if record.value is None:
            self._saved.pop(record.key, None)
            return
        saved = self._serde.decode(record.value)
        assert isinstance(saved, StateSaved)
        if record.key == _SEAL:
            self._seal = Seal.model_validate_json(saved.state).digest
        else:
            self._saved[record.key] = saved.state

    async def _restored(self) -> None:
        if self._sealed:
            self._digest = await asyncio.to_thread(TableDigest, self._saved)

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
        """Return changelog records of the states that changed since the last call, and their seal."""
        records = []
        for name in sorted(self._touched):
            text = self._live[name].model_dump_json() if name in self._live else None
            if self._saved.get(name) != text:
                records.append(self._record(name, text))
                self._put(name, text)
        self._touched.clear()
        if records and self._digest is not None:
            self._seal = str(self._digest)
            records.append(self._record(_SEAL, Seal(digest=self._seal).model_dump_json()))
        return records

    def _put(self, name: str, text: str | None) -> None:
        before = self._saved.pop(name, None)
        if text is not None:
            self._saved[name] = text
        if self._digest is not None:
            if before is not None:
                self._digest.take(name, before)
            if text is not None:
                self._digest.put(name, text)

    def _record(self, name: str, text: str | None) -> Record:
        value = None
        if text is not None:
            value = self._serde.encode(StateSaved(pool=self._pool, key=name, state=text))
        return Record(self._place.topic, name, value, (), self._place.partition)

    def committed(self, offset: int) -> None:
        """Note where the last of the changes stands, once they are committed."""
        self.offset = offset

    def snapshot(self) -> Snapshot | None:
        """Return what is committed, between two commits; None where no seal vouches for it yet."""
        if self._seal is None:
            return None
        task = f"{self._pool}.{self._place.partition}"
        return Snapshot(task, self.offset, self._seal, dict(self._saved))
