"""What this process and its machine have in use: memory, CPU, disk."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import shutil
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

log = logging.getLogger("FinAgentOrchestrator")
GB = 1e9
RELIEF = 0.9
"""Share of the threshold that memory must fall below before it counts as low again."""
APART_S = 0.1
"""Shortest time over which CPU use is taken; the kernel counts it in steps of 0.01 s."""


@dataclass
class MemoryWatch:
    """Says once that this process uses much memory, and again only after it fell below RELIEF of the threshold."""

    limit_gb: float = math.inf
    """Resident memory from which on it is much, in GB of 10^9 bytes."""
    high: bool = False

    def look(self, used_bytes: int) -> bool:
        """Return whether memory is high, and warn where it has become so."""
        limit = self.limit_gb * GB
        if used_bytes < RELIEF * limit:
            self.high = False
        elif used_bytes >= limit and not self.high:
            self.high = True
            log.warning("High memory usage detected: %.1fGB", used_bytes / GB)
        return self.high


@dataclass
class CpuLoad:
    """The machine's CPU use since the last look; the first one is taken since this object was made."""

    _at: float = field(default_factory=time.monotonic)
    _value: float | None = None

    def __post_init__(self) -> None:
        psutil.cpu_percent()  # its first call has nothing to compare with and returns 0

    async def fraction(self) -> float:
        """Return busy time as a share of all cores, 0..1; looks closer together than APART_S give the last value."""
        since = time.monotonic() - self._at
        if self._value is None and since < APART_S:
            await asyncio.sleep(APART_S - since)
            since = APART_S
        if self._value is None or since >= APART_S:
            self._value, self._at = psutil.cpu_percent() / 100, time.monotonic()
        return self._value


def process_id() -> str:
    """Return this process's name among all: `<host>:<pid>`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def process_report(pools: list[str], memory: MemoryWatch, now: int) -> dict[str, Any]:
    """Return what this process uses: resident memory in bytes, CPU time in s; now and its start in ns UTC."""
    process = psutil.Process()
    with process.oneshot():
        used, times = process.memory_info().rss, process.cpu_times()
        started = int(process.create_time() * 1e9)
    return {
        "process": process_id(),
        "pools": sorted(pools),
        "memory_bytes": used,
        "high_memory": memory.look(used),
        "cpu_seconds": times.user + times.system,
        "started": started,
        "updated": now,
    }


def disk_use(folder: Path) -> float:
    """Return how full the disk of a folder is, 0..1, as seen by a user without privileges."""
    usage = shutil.disk_usage(folder)
    return usage.used / (usage.used + usage.free)
