"""The store port's promises, held by the in-memory store and by Redis."""

from collections.abc import AsyncIterator

import pytest

from streams.errors import ConfigError, StoreConflict, StoreError
from streams.redis_store import RedisStore
from streams.store import Changes, MemoryStore, Store


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def store(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else redis_store(request, prefix)
    await made.start()
    yield made
    for key in await made.scan(""):
        await made.delete(key)
    await made.stop()


def redis_store(request: pytest.FixtureRequest, prefix: str) -> RedisStore:
    return RedisStore(request.getfixturevalue("redis_url"), prefix)


async def test_a_value_is_read_back_as_it_was(store: Store) -> None:
    await store.set("run", b"\x00\xff state")
    assert await store.get("run") == b"\x00\xff state"
    await store.set("run", b"")
    assert await store.get("run") == b""


async def test_an_absent_key_has_no_value_and_an_empty_list(store: Store) -> None:
    assert await store.get("nothing") is None
    assert await store.range("nothing") == []
    await store.delete("nothing")


async def test_a_deleted_key_is_gone(store: Store) -> None:
    await store.set("value", b"1")
    await store.append("list", b"1", cap=5)
    await store.delete("value")
    await store.delete("list")
    assert await store.get("value") is None
    assert await store.range("list") == []


async def test_scan_takes_the_prefix_literally_and_sorts(store: Store) -> None:
    for key in ("runs:b", "runs:a", "runs*", "run?", "runs[ab]", "runs\\x", "runs^x", "other"):
        await store.set(key, b"1")
    await store.append("runs:list", b"1", cap=1)
    assert await store.scan("runs:") == ["runs:a", "runs:b", "runs:list"]
    for literal in ("runs*", "run?", "runs[", "runs\\", "runs^"):
        assert len(await store.scan(literal)) == 1
    assert len(await store.scan("")) == 9


async def test_scan_sees_more_keys_than_one_reply_holds(store: Store) -> None:
    names = [f"key:{index:05}" for index in range(2500)]
    for name in names:
        await store.set(name, b"1", ttl_s=60)
    assert await store.scan("key:") == names


async def test_a_list_keeps_its_newest_values_in_order(store: Store) -> None:
    for index in range(7):
        await store.append("events", str(index).encode(), cap=3)
    assert await store.range("events") == [b"4", b"5", b"6"]
    await store.append("events", b"7", cap=2)
    assert await store.range("events") == [b"6", b"7"]


async def test_a_value_is_no_list_and_a_list_no_value(store: Store) -> None:
    await store.set("value", b"1")
    await store.append("list", b"1", cap=3)
    with pytest.raises(StoreError):
        await store.append("value", b"2", cap=3)
    with pytest.raises(StoreError):
        await store.range("value")
    with pytest.raises(StoreError):
        await store.get("list")
    await store.set("list", b"now a value")
    assert await store.get("list") == b"now a value"


async def test_a_value_outlives_its_ttl_only_where_it_was_put_again(store: Store) -> None:
    await store.set("short", b"1", ttl_s=0.02)
    await store.set("renewed", b"1", ttl_s=0.02)
    await store.set("renewed", b"2")
    await store.set("long", b"1", ttl_s=60)
    while await store.get("short") is not None:
        pass
    assert await store.scan("") == ["long", "renewed"]


@pytest.mark.parametrize("ttl_s", [0, -1, float("nan"), float("inf")])
async def test_a_ttl_that_is_not_positive_is_refused(store: Store, ttl_s: float) -> None:
    with pytest.raises(ConfigError, match="positive number of seconds"):
        await store.set("key", b"1", ttl_s=ttl_s)
    assert await store.get("key") is None


async def test_a_cap_below_one_is_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        await store.append("key", b"1", cap=0)


async def test_a_set_is_in_byte_order_and_has_each_member_once(store: Store) -> None:
    await store.apply(Changes(add={"set": [b"b", b"\xff", b"a"]}))
    await store.apply(Changes(add={"set": [b"ab", b"a", b""], "other": [b"x"]}))
    assert await store.members("set") == [b"", b"a", b"ab", b"b", b"\xff"]
    assert await store.members("nothing") == []
    assert await store.scan("") == ["other", "set"]


async def test_the_highest_members_come_first_and_below_a_bound(store: Store) -> None:
    await store.apply(Changes(add={"one": [b"a", b"b", b"c", b"d"], "two": [b"b", b"e"]}))
    assert await store.highest(["one", "two", "nothing"], 2) == [[b"d", b"c"], [b"e", b"b"], []]
    assert await store.highest(["one", "two"], 10, below=b"c") == [[b"b", b"a"], [b"b"]]
    assert await store.highest(["one"], 10, below=b"cc") == [[b"c", b"b", b"a"]]
    assert await store.highest([], 10) == []


async def test_changes_delete_then_remove_then_put_then_add(store: Store) -> None:
    await store.apply(Changes(put={"value": b"1", "gone": b"1"}, add={"set": [b"a", b"b"], "emptied": [b"a"]}))
    changes = Changes(
        delete=["gone", "value"],
        remove={"set": [b"a", b"c"], "emptied": [b"a"], "nothing": [b"a"]},
        put={"value": b"2"},
        add={"set": [b"a", b"d"]},
    )
    await store.apply(changes)
    assert await store.get_many(["value", "gone", "value", "nothing"]) == [b"2", None, b"2", None]
    assert await store.members("set") == [b"a", b"b", b"d"]
    assert await store.scan("") == ["set", "value"]
    await store.apply(changes)
    assert await store.members("set") == [b"a", b"b", b"d"]
    await store.apply(Changes())
    assert await store.get_many([]) == []


async def test_changes_are_written_only_where_the_values_are_as_expected(store: Store) -> None:
    await store.set("offsets", b"1")
    await store.apply(Changes(put={"offsets": b"2"}), {"offsets": b"1", "absent": None})
    for expected in ({"offsets": b"1"}, {"offsets": None}, {"absent": b"1"}, {"offsets": b"2", "absent": b"1"}):
        with pytest.raises(StoreConflict):
            await store.apply(Changes(delete=["offsets"], add={"set": [b"a"]}), expected)
    assert await store.get("offsets") == b"2"
    assert await store.scan("") == ["offsets"]


async def test_a_lease_has_one_holder_until_it_runs_out(store: Store) -> None:
    assert await store.lease("lease", b"one", 60)
    assert not await store.lease("lease", b"other", 60)
    assert await store.lease("lease", b"one", 0.02)
    while await store.get("lease") is not None:
        pass
    assert await store.lease("lease", b"other", 60)
    assert not await store.lease("lease", b"one", 60)
    with pytest.raises(StoreConflict):
        await store.apply(Changes(put={"value": b"1"}), {"lease": b"one"})
    await store.apply(Changes(delete=["lease"]), {"lease": b"other"})
    assert await store.lease("lease", b"one", 60)


async def test_a_set_is_no_value_and_no_list(store: Store) -> None:
    await store.apply(Changes(add={"set": [b"a"]}, put={"value": b"1"}))
    await store.append("list", b"1", cap=1)
    for wrong in (store.get("set"), store.range("set"), store.members("value"), store.highest(["list"], 1)):
        with pytest.raises(StoreError):
            await wrong
    with pytest.raises(StoreError):
        await store.apply(Changes(add={"value": [b"a"]}))
    assert await store.get("value") == b"1"
    assert await store.get_many(["set", "list", "value"]) == [None, None, b"1"]


async def test_the_memory_store_goes_by_the_clock_that_it_was_given() -> None:
    now = 100.0
    store = MemoryStore(lambda: now)
    await store.set("key", b"1", ttl_s=5)
    now = 104.9
    assert await store.get("key") == b"1"
    now = 105.0
    assert await store.get("key") is None
    assert await store.scan("") == []


@pytest.mark.redis
async def test_prefixes_keep_two_redis_stores_apart(redis_url: str, prefix: str) -> None:
    one, other = RedisStore(redis_url, prefix + "one:"), RedisStore(redis_url, prefix + "other:")
    for store in (one, other):
        await store.start()
    await one.set("key", b"1", ttl_s=30)
    assert await other.get("key") is None
    assert await other.scan("") == []
    assert await one.scan("") == ["key"]
    for store in (one, other):
        await store.stop()
