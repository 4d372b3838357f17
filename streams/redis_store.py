"""The store port on Redis."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from redis.asyncio import ConnectionPool, Redis, SSLConnection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    WatchError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from streams.errors import ConfigError, StoreError
from streams.store import Changes, Expected, check_cap, conflict, whole_ms
from streams.tls import tls_context, untrusted

_LOGIN = "set FINAGENT_REDIS_USERNAME and FINAGENT_REDIS_PASSWORD or FINAGENT_REDIS_PASSWORD_FILE"
_GLOB = re.compile(r"([*?\[\]\\^])")
_SCAN_COUNT = 1000
_REFUSALS: dict[type[RedisError], str] = {
    AuthenticationError: f"it refuses the user and password, or needs them: {_LOGIN}",
    AuthorizationError: f"it refuses the user and password, or needs them: {_LOGIN}",
    NoPermissionError: "its user may not do this: it needs read, write and transactions on the prefix",
    ReadOnlyError: "it is a read-only replica: name the primary in redis.url",
    OutOfMemoryError: "it is full: give it more maxmemory, or lower memory.max_events",
}
"""What Redis refuses, in the words of who can mend it."""


@dataclass(frozen=True)
class RedisSecurity:
    """Who this client is, and whom it trusts."""

    username: str = ""
    """Empty: the default user, or the one in the URL."""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    """PEM certificates of the authorities that vouch for it; empty: those of the system."""


class _TlsConnection(SSLConnection):
    """A connection that trusts whom the setting names, and nobody else."""

    def __init__(self, *, ca_file: str, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context.context = tls_context(ca_file, "redis.ssl_ca_file")


class RedisStore:
    """Redis, seen through the port; an append whose connection broke may stand twice."""

    def __init__(
        self, url: str, prefix: str = "", timeout_s: float = 2.0, *, security: RedisSecurity | None = None
    ) -> None:
        self._options = _secured(_options(url), security or RedisSecurity())
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._client: Redis | None = None

    def __repr__(self) -> str:
        return f"RedisStore({self._address}, prefix={self._prefix!r})"

    @property
    def _host(self) -> str:
        return str(self._options.get("host", "localhost"))

    @property
    def _address(self) -> str:
        options = self._options
        place = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        return f"{place}/{options.get('db', 0)}"

    async def start(self) -> None:
        """Connect, or see that the connection works; raise StoreError where no Redis answers.

        After that, too, it is started: every command connects by itself, once Redis is there.
        """
        if self._client is None:
            self._client = Redis.from_pool(_pool(self._options, self._timeout_s))
        async with self._commands() as redis:
            await redis.ping()

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
        except (RedisError, OSError, TimeoutError, ConfigError) as error:  # the last: its certificates went away
            raise StoreError(f"Redis at {self._address}: {_said(error, self._host)}") from error

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

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of keys."""
        if not keys:
            return []
        async with self._commands() as redis:
            return cast("list[bytes | None]", await redis.mget([self._prefix + key for key in keys]))

    async def members(self, key: str) -> list[bytes]:
        """Return an ordered set, lowest first."""
        async with self._commands() as redis:
            return cast("list[bytes]", await redis.zrange(self._prefix + key, 0, -1))

    async def highest(self, keys: Sequence[str], count: int, below: bytes | None = None) -> list[list[bytes]]:
        """Return the highest members below the given one."""
        # Every score is 0, so that Redis keeps the members in byte order.
        top = "+" if below is None else b"(" + below
        async with self._commands() as redis, redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.zrevrangebylex(self._prefix + key, top, "-", 0, count)
            return cast("list[list[bytes]]", await pipe.execute())

    async def apply(self, changes: Changes, expected: Expected | None = None) -> None:
        """Write all changes or none."""
        async with self._commands() as redis, redis.pipeline(transaction=True) as pipe:
            keys = {self._prefix + key: value for key, value in (expected or {}).items()}
            try:
                if keys:
                    await pipe.watch(*keys)
                    if await pipe.mget(list(keys)) != list(keys.values()):
                        raise WatchError
                    _begin(pipe)
                self._queue(pipe, changes)
                await pipe.execute()
            except WatchError:
                raise conflict(*(expected or {})) from None

    def _queue(self, pipe: Any, changes: Changes) -> None:
        if changes.delete:
            pipe.delete(*(self._prefix + key for key in changes.delete))
        for key, members in changes.remove.items():
            pipe.zrem(self._prefix + key, *members)
        if changes.put:
            pipe.mset({self._prefix + key: value for key, value in changes.put.items()})
        for key, members in changes.add.items():
            pipe.zadd(self._prefix + key, dict.fromkeys(members, 0))

    async def lease(self, key: str, holder: bytes, ttl_s: float) -> bool:
        """Take or renew a lease."""
        async with self._commands() as redis, redis.pipeline(transaction=True) as pipe:
            await pipe.watch(self._prefix + key)
            if await pipe.get(self._prefix + key) not in (None, holder):
                return False
            _begin(pipe)
            pipe.set(self._prefix + key, holder, px=whole_ms(ttl_s))
            try:
                await pipe.execute()
            except WatchError:
                return False
            return True


def _begin(pipe: Any) -> None:
    """Begin the transaction: what follows is queued; the library gives the call no types."""
    pipe.multi()


def _said(error: Exception, host: str) -> str:
    """Return what failed; of a refusal, who may mend it and how."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return untrusted(cause, host, "redis.ssl_ca_file")
        if isinstance(cause, ssl.SSLError):
            return f"it does not speak TLS as wanted: is rediss:// right for this port? ({cause.reason})"
        cause = cause.__cause__ or cause.__context__
    advice = next((words for kind, words in _REFUSALS.items() if isinstance(error, kind)), "")
    return f"{advice} ({error})" if advice else f"{type(error).__name__}: {error}"


def _options(url: str) -> dict[str, Any]:
    try:
        return dict(parse_url(url))
    except ValueError:  # its text may quote the password
        raise ConfigError("the Redis URL is malformed, expected redis://[user:password@]host:port/db") from None


def _secured(options: dict[str, Any], security: RedisSecurity) -> dict[str, Any]:
    """Return options with login and TLS; raise ConfigError for what would weaken them, or be without effect."""
    has_tls = options.get("connection_class") is SSLConnection
    if any(name.startswith("ssl_") for name in options):
        raise ConfigError("redis.url has ssl_ options: certificates and host names are always checked; drop them")
    if security.ca_file and not has_tls:
        raise ConfigError("redis.ssl_ca_file is set, and redis.url would not use it: begin the URL with rediss://")
    if security.password and options.get("password"):
        raise ConfigError("redis.url and the environment both give a password for Redis: keep one")
    if security.password:
        options |= {"username": security.username or options.get("username"), "password": security.password}
    if has_tls:
        tls_context(security.ca_file, "redis.ssl_ca_file")
        options |= {"connection_class": _TlsConnection, "ca_file": security.ca_file}
    return options


def _pool(options: dict[str, Any], timeout_s: float) -> ConnectionPool:
    # Redis restarting leaves dead connections in the pool, hence one more try; a slow Redis gets none.
    retry = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
    limits = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    return ConnectionPool(**{**limits, **options}, retry=retry)
