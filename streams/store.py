"""The store port: projections and snapshots that can be rebuilt from the log; losing them degrades, never corrupts."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from streams.errors import ConfigError, StoreError


class Store(Protocol):
    """Keeps bytes and capped lists by key; every failure is a StoreError."""

    async def start(self) -> None:
        """Connect; raise StoreError where nothing answers."""
        ...

    async def stop(self) -> None:
        """Release every connection."""
        ...

    async def get(self, key: str) -> bytes | None:
        """Return the value of a key, or None where there is none."""
        ...

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        """Put a value, whatever stood there; it is gone after ttl_s."""
        ...

    async def delete(self, key: str) -> None:
        """Remove a value or a list; a key that does not exist is no error."""
        ...

    async def scan(self, prefix: str) -> list[str]:
        """Return the keys that start with the prefix, sorted."""
        ...

    async def append(self, key: str, value: bytes, cap: int) -> None:
        """Add to the end of a list and keep its newest cap values."""
        ...

    async def range(self, key: str) -> list[bytes]:
        """Return a list, oldest first; empty where there is none."""
        ...


class MemoryStore:
    """The store port in one process."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._values: dict[str, bytes | deque[bytes]] = {}
        self._expiry: dict[str, float] = {}

    async def start(self) -> None:
        """Do nothing: there is no connection."""

    async def stop(self) -> None:
        """Do nothing: the values stay readable."""

    async def get(self, key: str) -> bytes | None:
        """Return the value of a key."""
        value = self._live(key)
        if isinstance(value, deque):
            raise StoreError(f"{key!r} holds a list, expected a value")
        return value

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        """Put a value."""
        ttl_ms = whole_ms(ttl_s)
        self._drop(key)
        self._values[key] = value
        if ttl_ms is not None:
            self._expiry[key] = self._now() + ttl_ms / 1000

    async def delete(self, key: str) -> None:
        """Remove a value or a list."""
        self._drop(key)

    async def scan(self, prefix: str) -> list[str]:
        """Return the keys that start with the prefix, sorted."""
        return sorted(key for key in list(self._values) if key.startswith(prefix) and self._live(key) is not None)

    async def append(self, key: str, value: bytes, cap: int) -> None:
        """Add to the end of a list."""
        check_cap(cap)
        known = self._live(key)
        if isinstance(known, bytes):
            raise StoreError(f"{key!r} holds a value, expected a list")
        self._values[key] = deque([*(known or ()), value], maxlen=cap)

    async def range(self, key: str) -> list[bytes]:
        """Return a list, oldest first."""
        known = self._live(key)
        if isinstance(known, bytes):
            raise StoreError(f"{key!r} holds a value, expected a list")
        return list(known or ())

    def _live(self, key: str) -> bytes | deque[bytes] | None:
        if self._expiry.get(key, math.inf) <= self._now():
            self._drop(key)
        return self._values.get(key)

    def _drop(self, key: str) -> None:
        self._values.pop(key, None)
        self._expiry.pop(key, None)


def whole_ms(ttl_s: float | None) -> int | None:
    """Return a time to live in whole milliseconds, at least 1; raise ConfigError where it is not positive."""
    if ttl_s is None:
        return None
    if not 0 < ttl_s < math.inf:
        raise ConfigError(f"ttl_s is {ttl_s}, expected a positive number of seconds")
    return max(round(ttl_s * 1000), 1)


def check_cap(cap: int) -> None:
    """Raise ConfigError where a list's cap is below 1."""
    if cap < 1:
        raise ConfigError(f"cap is {cap}, expected at least 1")
