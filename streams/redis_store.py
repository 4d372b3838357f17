"""The store port on Redis."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from streams.errors import ConfigError, StoreError
from streams.store import check_cap, whole_ms

_GLOB = re.compile(r"([*?\[\]\\^])")
_SCAN_COUNT = 1000


class RedisStore:
    """Redis, seen through the port; an append whose connection broke may stand twice."""

    def __init__(self, url: str, prefix: str = "", timeout_s: float = 2.0) -> None:
        self._options = _options(url)
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._client: Redis | None = None

    def __repr__(self) -> str:
        return f"RedisStore({self._address}, prefix={self._prefix!r})"

    @property
    def _address(self) -> str:
        options = self._options
        place = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        return f"{place}/{options.get('db', 0)}"

    async def start(self) -> None:
        """Connect; raise StoreError where no Redis answers."""
        self._client = Redis.from_pool(_pool(self._options, self._timeout_s))
        try:
            async with self._commands() as redis:
                await redis.ping()
        except StoreError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Release every connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    @asynccontextmanager
    async def _commands(self) -> AsyncIterator[Redis]:
        if self._client is None:
            raise StoreError(f"the store on Redis at {self._address} is not started")
        try:
            yield self._client
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreError(f"Redis at {self._address}: {type(error).__name__}: {error}") from error

    async def get(self, key: str) -> bytes | None:
        """Return the value of a key."""
        async with self._commands() as redis:
            return cast("bytes | None", await redis.get(self._prefix + key))

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        """Put a value."""
        ttl_ms = whole_ms(ttl_s)
        async with self._commands() as redis:
            await redis.set(self._prefix + key, value, px=ttl_ms)

    async def delete(self, key: str) -> None:
        """Remove a value or a list."""
        async with self._commands() as redis:
            await redis.delete(self._prefix + key)

    async def scan(self, prefix: str) -> list[str]:
        """Return the keys that start with the prefix, sorted."""
        pattern = _GLOB.sub(r"\\\1", self._prefix + prefix) + "*"
        async with self._commands() as redis:
            found = {key.decode() async for key in redis.scan_iter(pattern, count=_SCAN_COUNT)}
        return sorted(key.removeprefix(self._prefix) for key in found)

    async def append(self, key: str, value: bytes, cap: int) -> None:
        """Add to the end of a list."""
        check_cap(cap)
        async with self._commands() as redis, redis.pipeline(transaction=True) as pipe:
            pipe.rpush(self._prefix + key, value)
            pipe.ltrim(self._prefix + key, -cap, -1)
            await pipe.execute()

    async def range(self, key: str) -> list[bytes]:
        """Return a list, oldest first."""
        async with self._commands() as redis:
            return cast("list[bytes]", await redis.lrange(self._prefix + key, 0, -1))


def _options(url: str) -> dict[str, Any]:
    try:
        return dict(parse_url(url))
    except ValueError:  # its text may quote the password
        raise ConfigError("the Redis URL is malformed, expected redis://[user:password@]host:port/db") from None


def _pool(options: dict[str, Any], timeout_s: float) -> ConnectionPool:
    # Redis restarting leaves dead connections in the pool, hence one more try; a slow Redis gets none.
    retry = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
    limits = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    return ConnectionPool(**{**limits, **options}, retry=retry)
