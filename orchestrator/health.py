"""Health from real checks: broker and store answer, tasks are alive and get on, memory and disk suffice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.heartbeat import TTL_S, Report, kind_of, missed, process_reports, reports
from orchestrator.lag import Lag, lags
from orchestrator.load import GB, disk_use
from orchestrator.recipes import ORCHESTRATOR
from orchestrator.sections import ObservabilitySection
from orchestrator.settings import Settings
from orchestrator.wiring import kinds_of, pools_of
from streams.broker import Broker
from streams.clock import Clock
from streams.errors import BrokerError, StoreError
from streams.host import Host
from streams.record import rfc3339
from streams.store import Store

PROBE = "probe"
"""Written with each check."""
ANSWER_S = 5.0
"""How long the broker may take to answer."""
_HELD = frozenset({"orders", "fills", "signals", "targets", "risk"})
"""Topics whose records a task that works in slices holds until the next slice: they may wait while no data comes."""


@dataclass
class Findings:
    """What is wrong."""

    critical: list[str] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        """Return healthy, degraded or critical."""
        return "critical" if self.critical else "degraded" if self.degraded else "healthy"


async def health_of(
    settings: Settings,
    broker: Broker,
    store: Store,
    host: Host | None,
    clock: Clock,
    own: Report | None = None,
) -> dict[str, Any]:
    """Return status (healthy, degraded or critical), its reasons, and the latest reports of tasks and processes.

    own: the report of the process that asks, where no heartbeat of its own tells it.
    """
    found = Findings()
    if host is not None and host.failure is not None:
        found.critical.append(f"a task stopped: {host.failure}")
    if settings.kafka.bootstrap and not settings.redis.url:
        found.degraded.append("the settings name no redis.url, through which tasks tell that they are alive")
    tasks, processes = await _told(settings, store, found)
    if own is not None and own["process"] not in {each["process"] for each in processes}:
        processes = [*processes, own]
    _check_memory(processes, settings.observability.high_memory_gb, found)
    now = clock.now()
    try:
        async with asyncio.timeout(ANSWER_S):
            behind = await lags(broker, tasks)
        for each in tasks:
            lag = behind[str(each["task"])]
            each["lag"] = {place.name: count for place, count in lag.items()}
            each["behind"] = sum(lag.values())
            _check_progress(each, lag, settings.observability, now, found)
    except TimeoutError:
        found.critical.append(f"the broker does not answer within {ANSWER_S:g} s")
    except BrokerError as error:
        found.critical.append(f"the broker does not answer: {error}")
    _check_disk(settings.observability.full_disk_ratio, found)
    reasons = found.critical + found.degraded
    return {"status": found.status, "reasons": reasons, "tasks": tasks, "processes": processes, "checked": now}


async def _told(settings: Settings, store: Store, found: Findings) -> tuple[list[Report], list[Report]]:
    """Return what tasks and processes tell of themselves; note tasks that are missing."""
    try:
        # A store may answer and refuse to write: no rights, read-only, full.
        await store.set(PROBE, b"1", ttl_s=TTL_S)
        tasks, processes, seen = await reports(store), await process_reports(store), await missed(store)
    except StoreError as error:
        found.degraded.append(f"the store does not answer: {error}")
        return [], []
    expected = {kind.name for pool in pools_of(settings) for kind in kinds_of(pool)} | {ORCHESTRATOR} | seen
    found.degraded += [f"no {name} task is alive" for name in sorted(expected - set(map(kind_of, tasks)))]
    found.degraded += sorted({each["problem"] for each in tasks if each.get("problem")})
    return tasks, processes


def _check_memory(processes: Sequence[Report], limit_gb: float, found: Findings) -> None:
    for each in processes:
        if each["high_memory"]:
            pools, used = ", ".join(each["pools"]) or "no pools", each["memory_bytes"] / GB
            found.degraded.append(
                f"high memory usage: process {each['process']} ({pools}) uses {used:.1f}GB, "
                f"observability.high_memory_gb is {limit_gb:g}"
            )


def _check_progress(each: Report, lag: Lag, limits: ObservabilitySection, now: int, found: Findings) -> None:
    """Note a task whose position stands still although records wait that it should take at once."""
    waiting = _to_take(lag)
    still_s = (now - each.get("moved", now)) / 1e9
    if not waiting or still_s < limits.stall_degraded_s:
        return
    since = rfc3339(each["moved"])
    records = ", ".join(f"{count} of {name}" for name, count in sorted(waiting.items()))
    if (began := each.get("working_since")) is not None:
        # Only one step of a workflow at a time is worked on, and some take long: the orchestrator keeps their time.
        if (now - began) / 1e9 >= limits.stall_critical_s:
            found.degraded.append(f"{each['task']} has been at one piece of work since {rfc3339(began)}")
        return
    reason = f"{each['task']} has not moved since {since} while records wait: {records}"
    (found.critical if still_s >= limits.stall_critical_s else found.degraded).append(reason)


def _to_take(lag: Lag) -> Mapping[str, int]:
    """Return how many records wait that a task is to take at once, by topic."""
    in_slices = any(place.topic in ("ticks", "bars") for place in lag)
    waiting: dict[str, int] = {}
    for place, count in lag.items():
        if count and not (in_slices and place.topic in _HELD):
            waiting[place.topic] = waiting.get(place.topic, 0) + count
    return waiting


def _check_disk(limit: float, found: Findings) -> None:
    folder = Path.cwd()
    used = disk_use(folder)
    if used >= limit:
        found.degraded.append(f"the disk of {folder} is {used:.0%} full, observability.full_disk_ratio is {limit:g}")
