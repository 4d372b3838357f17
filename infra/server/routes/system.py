"""Health, status, shutdown."""

from __future__ import annotations

import psutil
from fastapi import APIRouter, Response

from infra.server import models as m
from infra.server.problems import responses
from infra.server.services import VERSION, In, Services, Working
from streams.errors import StoreError
from streams.record import rfc3339

router = APIRouter(tags=["system"])


@router.get("/health", response_model=m.Health, responses={503: {"model": m.Health, "description": "critical"}})
async def health(services: In, response: Response) -> m.Health:
    """Tell whether the system works; needs no key."""
    found = services.watch.view()
    if found.status == "critical":
        response.status_code = 503
    return found


@router.get("/status", response_model=m.SystemStatus)
async def status(services: In) -> m.SystemStatus:
    """Tell how the whole system stands."""
    settings, live, now = services.settings, services.live, services.orchestrator.clock.now()
    counts = live.workflows.counts
    return m.SystemStatus(
        version=VERSION,
        mode=settings.mode,
        broker=f"Kafka at {settings.kafka.bootstrap}" if settings.kafka.bootstrap else "in memory, one process",
        started=rfc3339(services.started),
        uptime_s=round((now - services.started) / 1e9, 3),
        health=services.watch.view(),
        metrics=_metrics(services),
        workflows=m.WorkflowCounts(**{name: counts[name] for name in m.WorkflowCounts.model_fields}),
        strategies=len(live.executions.by_strategy),
        active_strategies=len(live.runs),
        pools=await _pools(services),
        feed=services.feed.view() if services.feed else None,
    )


def _metrics(services: Services) -> m.Metrics:
    counts = services.live.workflows.counts
    ended = counts["completed"] + counts["failed"] + counts["cancelled"]
    return m.Metrics(
        cpu_usage=psutil.cpu_percent() / 100,
        memory_usage=psutil.virtual_memory().percent / 100,
        process_memory_bytes=psutil.Process().memory_info().rss,
        active_tasks=services.live.workflows.in_flight,
        total_executed=ended,
        success_rate=counts["completed"] / ended if ended else None,
    )


async def _pools(services: Services) -> list[m.PoolTask]:
    try:
        found = await services.orchestrator.task_reports()
    except StoreError:
        return []  # health says so
    return [
        m.PoolTask(
            **{
                **{name: each[name] for name in m.PoolTask.model_fields},
                "slice": rfc3339(each["slice"]) if each["slice"] >= 0 else None,
                "updated": rfc3339(each["updated"]),
            }
        )
        for each in sorted(found, key=lambda each: str(each["task"]))
    ]


@router.post("/shutdown", status_code=202, response_model=m.Accepted, responses=responses(503))
async def shutdown(services: Working) -> m.Accepted:
    """Finish what runs, then end the server's process with code 0."""
    services.stop.set()
    return m.Accepted(status="shutting down")
