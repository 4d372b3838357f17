"""State restored by way of a snapshot is that of the whole changelog, and a snapshot that does not fit is found out."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from streams.broker import Broker, Offsets, Reader, TopicConfig, Transactions
from streams.errors import StoreError, UnfitSnapshot
from streams.memory_broker import MemoryBroker
from streams.reading import end_for_owner
from streams.record import Received, TopicPartition
from streams.serde import Serde
from streams.snapshot import Snapshot
from streams.snapshots import PREFIX, SnapshotPolicy, Snapshots
from streams.state import State, StateTable
from streams.store import MemoryStore, Store
from streams.table_digest import TableDigest
from streams.topics import changelog

POOL, PARTITION, SERDE = "risk", 1, Serde()
TASK = f"{POOL}.{PARTITION}"
CHANGELOG = changelog(POOL)
PLACE = TopicPartition(CHANGELOG, PARTITION)


class Account(State):
    """What is kept of a key."""

    cash: float = 0.0
    note: str = ""


@pytest.fixture(autouse=True)
async def topics(broker: Broker) -> None:
    await broker.create_topics({CHANGELOG: TopicConfig(2, compacted=True)})


@dataclass
class Owner:
    """A task in small: its table, and its transactions."""

    table: StateTable
    transactions: Transactions
    snapshots: Snapshots

    async def commit(self, change: Callable[[StateTable], None]) -> None:
        change(self.table)
        placed = await self.transactions.commit([], None, lambda _: self.table.changes())
        if placed:
            self.table.committed(placed[-1])

    async def save(self) -> None:
        """Save a snapshot and wait for it."""
        self.snapshots.offer(self.table)
        while self.snapshots._saving is not None:
            await asyncio.wait([self.snapshots._saving])
            self.snapshots.offer(self.table)

    @property
    def content(self) -> Snapshot:
        content = self.table.snapshot()
        assert content is not None
        return content


@asynccontextmanager
async def owner(broker: Broker, store: Store | None = None) -> AsyncIterator[Owner]:
    """Take the task over, restored by the store's snapshot if it has one."""
    snapshots = Snapshots(SnapshotPolicy(store or MemoryStore(), 0.0), TASK)
    async with broker.transactions(TASK) as transactions:
        table = StateTable(POOL, PARTITION, SERDE, sealed=True)
        await snapshots.restore(table, broker, await end_for_owner(transactions, PLACE))
        yield Owner(table, transactions, snapshots)


def put(**cash: float) -> Callable[[StateTable], None]:
    def change(table: StateTable) -> None:
        for key, value in cash.items():
            table.get(Account, key).cash = value

    return change


def drop(*keys: str) -> Callable[[StateTable], None]:
    def change(table: StateTable) -> None:
        for key in keys:
            table.drop(Account, key)

    return change


def any_change(rng: random.Random) -> Callable[[StateTable], None]:
    """Return a change of up to four of twelve keys: made, changed, left as they are, or dropped."""

    def change(table: StateTable) -> None:
        for key in rng.sample([f"k{number}\n\u20ac" for number in range(12)], rng.randint(0, 4)):
            match rng.choice(["put", "put", "touch", "drop"]):
                case "put":
                    state = table.get(Account, key)
                    state.cash, state.note = rng.random(), "é\u2028" * rng.randint(0, 9)
                case "touch":
                    table.get(Account, key)
                case "drop":
                    table.drop(Account, key)

    return change


async def commit_fails(own: Owner, rng: random.Random) -> None:
    """Change the table, and have the commit fail once the changes are written."""

    def follow(_: Sequence[int]) -> list[object]:
        any_change(rng)(own.table)
        own.table.changes()
        raise ArithmeticError("in the middle of a commit")

    with pytest.raises(ArithmeticError):
        await own.transactions.commit([], None, follow)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(4))
async def test_both_ways_give_the_same_states_whatever_was_written_and_wherever_it_ended(
    broker: Broker, seed: int
) -> None:
    rng, store, shorter = random.Random(seed), MemoryStore(), 0
    for _ in range(4):
        async with owner(broker, store) as own:
            for _ in range(rng.randint(1, 8)):
                await own.commit(any_change(rng))
                if rng.random() < 0.3:
                    await own.save()
            if rng.random() < 0.5:
                await commit_fails(own, rng)
        async with owner(broker, store) as by_snapshot:
            pass
        async with owner(broker) as whole:
            pass
        assert by_snapshot.table.snapshot() == whole.table.snapshot()
        shorter += by_snapshot.table.records_read < whole.table.records_read
    assert shorter


async def test_only_what_follows_the_snapshot_is_read(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    async with owner(broker, store) as own:
        for number in range(50):
            await own.commit(put(a=number + 1.0, b=number + 2.0))
        await own.save()
        await own.commit(put(c=3.0))
        await own.commit(drop("b"))
    with caplog.at_level(logging.INFO):
        async with owner(broker, store) as later:
            assert later.table.records_read == 1 + 2 + 2, "the seal that it was taken at, and two commits with theirs"
    assert f"{TASK}: restored from a snapshot and 5 records" in caplog.text
    assert list(later.table.keys(Account)) == ["a", "c"]
    assert later.table.get(Account, "a").cash == 50.0


async def refused(broker: Broker, store: Store, caplog: pytest.LogCaptureFixture, why: str) -> None:
    """Hold that the snapshot is not used, with one warning that says why, and that the whole changelog is read."""
    async with owner(broker) as whole:
        pass
    caplog.clear()
    async with owner(broker, store) as own:
        assert own.table.snapshot() == whole.table.snapshot()
        assert own.table.records_read == whole.table.records_read
        [warning] = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
        assert why in warning
        assert warning.startswith(f"{TASK}: its snapshot is not used, the whole changelog is read: ")
        await own.commit(put(later=1.0))
        await own.save()
    caplog.clear()
    async with owner(broker, store) as healed:
        assert healed.table.records_read == 1, "the next snapshot takes its place"
    mine = [each for each in caplog.records if each.name.startswith("finagent")]
    assert not [each for each in mine if each.levelno >= logging.WARNING]


async def saved(broker: Broker, *changes: Callable[[StateTable], None]) -> Snapshot:
    """Return the snapshot of a log that had these changes."""
    store = MemoryStore()
    async with owner(broker, store) as own:
        for change in changes:
            await own.commit(change)
        await own.save()
    return Snapshot.decode(await store.get(PREFIX + TASK) or b"")


async def holding(snapshot: Snapshot) -> Store:
    store = MemoryStore()
    await store.set(PREFIX + TASK, snapshot.encode())
    return store


async def other_log(*changes: Callable[[StateTable], None]) -> Snapshot:
    log = MemoryBroker()
    await log.create_topics({CHANGELOG: TopicConfig(2, compacted=True)})
    return await saved(log, *changes)


async def test_a_snapshot_of_a_log_that_was_wiped_is_found_out(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    longer = await other_log(*(put(a=float(number)) for number in range(1, 9)))
    store = await holding(longer)
    async with owner(broker) as own:
        await own.commit(put(a=1.0))
    await refused(broker, store, caplog, f"it was taken at offset {longer.offset}, and risk.changelog[1] has 0 to")


async def test_a_snapshot_of_another_log_of_the_same_length_is_found_out(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    other = await other_log(put(a=1.0), put(a=2.0))
    async with owner(broker) as own:
        await own.commit(put(a=3.0, b=1.0, c=1.0))
        await own.commit(put(a=4.0))
    snapshot = replace(other, offset=3)  # where the first commit's seal stands
    await refused(broker, await holding(snapshot), caplog, "at offset 3: of another log")


def with_cash(snapshot: Snapshot, cash: float) -> Mapping[str, str]:
    return {**snapshot.states, "Account:a": Account(cash=cash).model_dump_json()}


async def test_a_changed_snapshot_is_found_out(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    snapshot = await saved(broker, put(a=1.0), put(b=2.0))
    forged = replace(snapshot, states=with_cash(snapshot, 1e9))
    await refused(broker, await holding(forged), caplog, "its states are not those that its digest names")


async def test_a_snapshot_that_was_changed_with_its_digest_is_found_out(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    snapshot = await saved(broker, put(a=1.0), put(b=2.0))
    states = with_cash(snapshot, 1e9)
    forged = replace(snapshot, states=states, digest=str(TableDigest(states)))
    await refused(broker, await holding(forged), caplog, "of another log")


async def test_damaged_bytes_are_found_out(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    data = (await saved(broker, put(a=1.0), put(b=2.0))).encode()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    for damaged in (flipped, data[:-1], data[: middle // 2]):
        store = MemoryStore()
        await store.set(PREFIX + TASK, damaged)
        await refused(broker, store, caplog, "it is damaged: ")


async def test_a_snapshot_of_another_task_or_release_is_not_used(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    snapshot = await saved(broker, put(a=1.0))
    await refused(broker, await holding(replace(snapshot, task="risk.0")), caplog, "it is of 'risk.0'")
    store = MemoryStore()
    await store.set(PREFIX + TASK, snapshot.encode().replace(b"snapshot 1", b"snapshot 2", 1))
    await refused(broker, store, caplog, "of another release")


async def test_a_log_that_goes_on_without_seals_is_read_whole(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    """As a release without snapshots would write it."""
    snapshot = await saved(broker, put(a=1.0))
    async with broker.transactions(TASK) as transactions:
        table = StateTable(POOL, PARTITION, SERDE)
        await table.restore(broker)
        put(a=2.0)(table)
        await transactions.commit([], None, lambda _: table.changes())
    store = await holding(snapshot)
    caplog.clear()
    async with owner(broker, store) as own:
        assert own.table.get(Account, "a").cash == 2.0
    assert "the last change of risk.changelog[1] is no seal" in caplog.text


class Compacted(MemoryBroker):
    """A log of which the cleaner has kept the newest record of each key alone, and tombstones only if it is told so."""

    def __init__(self, *, tombstones: bool) -> None:
        super().__init__()
        self._tombstones = tombstones

    @asynccontextmanager
    async def reader(self, start: Offsets) -> AsyncIterator[Reader]:  # type: ignore[override]
        async with super().reader(start) as reader:
            whole = reader._take
            newest = {
                (place.partition, record.key): record.offset for place in start for record in self.partition_log(place)
            }

            def take(limit: int) -> list[Received]:
                return [
                    record
                    for record in whole(limit)
                    if newest[record.partition, record.key] == record.offset
                    and (self._tombstones or record.value is not None)
                ]

            reader._take = take  # type: ignore[method-assign]
            yield reader


async def compacted(*, tombstones: bool) -> Compacted:
    log = Compacted(tombstones=tombstones)
    await log.create_topics({CHANGELOG: TopicConfig(2, compacted=True)})
    return log


async def test_a_snapshot_whose_seal_was_compacted_away_is_held_against_the_last_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = await compacted(tombstones=True)
    store = await holding(await saved(log, put(a=1.0), put(b=2.0)))
    async with owner(log) as own:
        await own.commit(put(a=3.0))
        await own.commit(drop("b"))
        content = own.content
    async with owner(log, store) as later:
        assert later.content == content
        assert later.table.records_read == 3, "a's newest, b's tombstone and the last seal"
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


async def test_a_forged_snapshot_whose_seal_was_compacted_away_is_found_out(caplog: pytest.LogCaptureFixture) -> None:
    log = await compacted(tombstones=True)
    snapshot = await saved(log, put(a=1.0), put(b=2.0))
    async with owner(log) as own:
        await own.commit(put(b=3.0))
    states = with_cash(snapshot, 1e9)
    forged = replace(snapshot, states=states, digest=str(TableDigest(states)))
    await refused(log, await holding(forged), caplog, "it does not give the states that risk.changelog[1] ends with")


async def test_a_snapshot_older_than_a_tombstone_that_is_gone_does_not_bring_a_state_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = await compacted(tombstones=False)
    store = await holding(await saved(log, put(a=1.0, b=2.0)))
    async with owner(log) as own:
        await own.commit(drop("b"))
    await refused(log, store, caplog, "it does not give the states that risk.changelog[1] ends with")


class Away(MemoryStore):
    """A store that nothing answers from, or never in time."""

    def __init__(self, *, silent: bool = False) -> None:
        super().__init__()
        self.silent, self.away = silent, True

    async def get(self, key: str) -> bytes | None:
        await self._fail()
        return await super().get(key)

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        await self._fail()
        await super().set(key, value, ttl_s)

    async def _fail(self) -> None:
        if self.away and self.silent:
            await asyncio.Event().wait()
        if self.away:
            raise StoreError("gone")


@pytest.mark.parametrize("silent", [False, True])
async def test_without_the_store_the_log_is_read_and_snapshots_resume_with_it(
    broker: Broker, silent: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.snapshots.LIMIT_S", 0.2 if silent else 5.0)
    store = Away(silent=silent)
    async with owner(broker, store) as own:
        await own.commit(put(a=1.0))
        with caplog.at_level(logging.INFO):
            own.snapshots.offer(own.table)
            saving = own.snapshots._saving
            assert saving is not None
            await own.commit(put(a=2.0))  # it waits for nothing
            own.snapshots.offer(own.table)
            assert own.snapshots._saving is saving or not silent, "one write at a time"
            await asyncio.wait([saving])
            store.away = False
            await own.save()
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert f"{TASK}: snapshots again" in caplog.text
    async with owner(broker, store) as later:
        assert later.table.records_read == 1


async def test_a_snapshot_larger_than_any_is_refused_before_it_fills_the_memory(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = await saved(broker, put(a=1.0))
    monkeypatch.setattr("streams.snapshot.MAX_STATES_BYTES", 100)
    with pytest.raises(UnfitSnapshot, match="larger than any"):
        Snapshot.decode(replace(snapshot, states={"a": "x" * 10_000_000}).encode())


def test_a_digest_follows_every_change() -> None:
    rng, table = random.Random(1), dict[str, str]()
    digest = TableDigest({})
    for _ in range(300):
        name, text = f"n{rng.randint(0, 20)}", str(rng.random())
        if (before := table.pop(name, None)) is not None:
            digest.take(name, before)
        if rng.random() < 0.7:
            table[name] = text
            digest.put(name, text)
        assert str(digest) == str(TableDigest(dict(sorted(table.items()))))
    assert str(TableDigest({"a": "bc"})) != str(TableDigest({"ab": "c"}))
