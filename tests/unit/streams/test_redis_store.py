"""The Redis store where there is no Redis, or one that does not answer: a StoreError in time, and no password."""

import asyncio
import time
import traceback

import pytest

from streams.errors import ConfigError, StoreError
from streams.redis_store import RedisStore

PASSWORD = "hunter2-secret"


async def refused_url() -> str:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"redis://user:{PASSWORD}@127.0.0.1:{port}/3"


async def test_start_says_where_no_redis_answers_and_keeps_the_password() -> None:
    store = RedisStore(await refused_url(), "app:")
    with pytest.raises(StoreError, match=r"Redis at 127\.0\.0\.1:\d+/3: ConnectionError") as raised:
        await store.start()
    assert PASSWORD not in "".join(traceback.format_exception(raised.value))
    assert PASSWORD not in repr(store)
    assert "app:" in repr(store)


async def test_a_store_that_is_not_started_says_so() -> None:
    with pytest.raises(StoreError, match="not started"):
        await RedisStore("redis://localhost:1/0").get("key")


@pytest.mark.parametrize("url", ["http://:hunter2-secret@h:1", f"redis://:{PASSWORD}/x@host:nan/0", "nonsense"])
def test_a_malformed_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ConfigError, match="malformed") as raised:
        RedisStore(url)
    assert PASSWORD not in "".join(traceback.format_exception(raised.value))


async def test_a_silent_redis_is_given_up_in_time() -> None:
    closed = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await closed.wait()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        before = time.monotonic()
        with pytest.raises(StoreError, match="TimeoutError"):
            await RedisStore(f"redis://127.0.0.1:{port}/0", timeout_s=0.2).start()
        assert time.monotonic() - before < 5
        closed.set()
