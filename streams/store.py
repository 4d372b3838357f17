"""The store port: projections and snapshots that can be rebuilt from the log; losing them degrades, never corrupts."""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streams.errors import ConfigError, StoreConflict, StoreError

Expected = Mapping[str, bytes | None]
"""Values by key; None: there is none."""


@dataclass(frozen=True)
class Changes:
    """What is written all or nothing, in the order of the fields."""

    delete: Collection[str] = ()
    """Keys that go, whatever they hold."""
    remove: Mapping[str, Collection[bytes]] = field(default_factory=dict)
    """Members that leave ordered sets; a set without members is gone."""
    put: Mapping[str, bytes] = field(default_factory=dict)
    """Values."""
    add: Mapping[str, Collection[bytes]] = field(default_factory=dict)
    """Members that join ordered sets."""


class Store(Protocol):
    """Keeps bytes, capped lists and sets in byte order by key; every failure is a StoreError."""

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

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of keys in their order, None where there is none."""
        ...

    async def members(self, key: str) -> list[bytes]:
        """Return an ordered set, lowest first; empty where there is none."""
        ...

    async def highest(self, keys: Sequence[str], count: int, below: bytes | None = None) -> list[list[bytes]]:
        """Return, of each ordered set, up to count members below the given one, highest first."""
        ...

    async def apply(self, changes: Changes, expected: Expected | None = None) -> None:
        """Write all changes or none; raise StoreConflict, with nothing written, where a value is not as expected."""
        ...

    async def lease(self, key: str, holder: bytes, ttl_s: float) -> bool:
        """Take or renew a lease that is gone after ttl_s; return whether the holder has it."""
        ...


class MemoryStore:
    """The store port in one process."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._values: dict[str, bytes | deque[bytes] | list[bytes]] = {}
        self._expiry: dict[str, float] = {}

    async def start(self) -> None:
        """Do nothing: there is no connection."""

    async def stop(self) -> None:
        """Do nothing: the values stay readable."""

    async def get(self, key: str) -> bytes | None:
        """Return the value of a key."""
        value = self._live(key)
        if isinstance(value, deque | list):
            raise StoreError(f"{key!r} holds a list or a set, expected a value")
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
        self._values[key] = deque([*self._listed(key), value], maxlen=cap)

    async def range(self, key: str) -> list[bytes]:
        """Return a list, oldest first."""
        return list(self._listed(key))

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of keys."""
        values = (self._live(key) for key in keys)
        return [value if isinstance(value, bytes) else None for value in values]

    async def members(self, key: str) -> list[bytes]:
        """Return an ordered set, lowest first."""
        return list(self._ordered(key))

    async def highest(self, keys: Sequence[str], count: int, below: bytes | None = None) -> list[list[bytes]]:
        """Return the highest members below the given one."""
        found = []
        for known in map(self._ordered, keys):
            end = len(known) if below is None else bisect_left(known, below)
            found.append(known[max(end - count, 0) : end][::-1])
        return found

    async def apply(self, changes: Changes, expected: Expected | None = None) -> None:
        """Write all changes or none."""
        for key, value in (expected or {}).items():
            if await self.get(key) != value:
                raise conflict(key)
        touched = {*changes.remove, *changes.add}.difference(changes.delete, changes.put)
        for key in touched:
            self._ordered(key)  # raises before anything is written
        for key in changes.delete:
            self._drop(key)
        for key, members in changes.remove.items():
            self._replace(key, _without(self._ordered(key), members))
        for key, value in changes.put.items():
            self._drop(key)
            self._values[key] = value
        for key, members in changes.add.items():
            self._replace(key, _with(self._ordered(key), members))

    async def lease(self, key: str, holder: bytes, ttl_s: float) -> bool:
        """Take or renew a lease."""
        if await self.get(key) not in (None, holder):
            return False
        await self.set(key, holder, ttl_s)
        return True

    def _listed(self, key: str) -> deque[bytes]:
        known = self._live(key)
        if isinstance(known, bytes | list):
            raise StoreError(f"{key!r} holds a value or a set, expected a list")
        return known or deque()

    def _ordered(self, key: str) -> list[bytes]:
        known = self._live(key)
        if isinstance(known, bytes | deque):
            raise StoreError(f"{key!r} holds a value or a list, expected an ordered set")
        return known or []

    def _replace(self, key: str, members: list[bytes]) -> None:
        if members:
            self._values[key] = members
        else:
            self._drop(key)

    def _live(self, key: str) -> bytes | deque[bytes] | list[bytes] | None:
        if self._expiry.get(key, math.inf) <= self._now():
            self._drop(key)
        return self._values.get(key)

    def _drop(self, key: str) -> None:
        self._values.pop(key, None)
        self._expiry.pop(key, None)


def conflict(*keys: str) -> StoreConflict:
    """Return the error of a write that goes by other values than there are."""
    return StoreConflict(f"{' or '.join(keys)} was changed by another writer, or has run out")


def _with(ordered: list[bytes], members: Collection[bytes]) -> list[bytes]:
    for member in members:
        place = bisect_left(ordered, member)
        if ordered[place : place + 1] != [member]:
            ordered.insert(place, member)
    return ordered


def _without(ordered: list[bytes], members: Collection[bytes]) -> list[bytes]:
    for member in members:
        place = bisect_left(ordered, member)
        if ordered[place : place + 1] == [member]:
            del ordered[place]
    return ordered


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
