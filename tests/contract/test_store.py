"""The store port's promises, held by the in-memory store and by Redis."""

from collections.abc import AsyncIterator

import pytest

from streams.errors import ConfigError, StoreError
from streams.redis_store import RedisStore
from streams.store import MemoryStore, Store


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
