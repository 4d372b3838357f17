"""Health from real checks: the broker answers, tasks are alive and have not failed, the store answers."""

from __future__ import annotations

from typing import Any

from orchestrator.heartbeat import reports
from orchestrator.recipes import ORCHESTRATOR
from orchestrator.settings import Settings
from orchestrator.wiring import kinds_of, pools_of
from streams.broker import Broker
from streams.clock import Clock
from streams.errors import BrokerError, StoreError
from streams.host import Host
from streams.store import Store


async def health_of(
    settings: Settings, broker: Broker, store: Store, host: Host | None, clock: Clock
) -> dict[str, Any]:
    """Return status (healthy, degraded or critical), its reasons and the tasks' latest reports."""
    critical, degraded = [], []
    if host is not None and host.failure is not None:
        critical.append(f"a task stopped: {host.failure}")
    try:
        await broker.topics()
    except BrokerError as error:
        critical.append(f"the broker does not answer: {error}")
    if settings.kafka.bootstrap and not settings.redis.url:
        degraded.append("the settings name no redis.url, through which tasks tell that they are alive")
    found: list[dict[str, Any]] = []
    try:
        found = await reports(store)
        alive = {each["task"].rpartition(".")[0] for each in found}
        expected = {kind.name for pool in pools_of(settings) for kind in kinds_of(pool)} | {ORCHESTRATOR}
        degraded += [f"no {name} task is alive" for name in sorted(expected - alive)]
    except StoreError as error:
        degraded.append(f"the store does not answer: {error}")
    status = "critical" if critical else "degraded" if degraded else "healthy"
    return {"status": status, "reasons": critical + degraded, "tasks": found, "checked": clock.now()}
