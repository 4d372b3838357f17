"""`GET /metrics`: the whole system in one scrape, from the tasks' reports, the broker and the log."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from infra.observability.exposition import CONTENT_TYPE, text_of
from infra.observability.families import of_control, of_health, of_machine, of_processes, of_tasks, of_trading
from infra.observability.log_figures import LogFigures
from orchestrator.load import disk_use

if TYPE_CHECKING:
    from orchestrator.facade import FinAgentOrchestrator

router = APIRouter(tags=["system"])


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Tell the whole system's metrics in the Prometheus text format."""
    services = request.app.state.services
    text = await metrics_text(services.orchestrator, services.live.figures)
    return Response(text, headers={"Content-Type": CONTENT_TYPE})


async def metrics_text(orchestrator: FinAgentOrchestrator, figures: LogFigures) -> bytes:
    """Return the system's metrics; what a lost broker or store cannot tell is left out, and health says so."""
    health = await orchestrator.get_health_status()
    load = await orchestrator.get_performance_metrics()
    families = [
        of_health(health["status"]),
        *of_machine(load["cpu_usage"], load["memory_usage"], disk_use(Path.cwd())),
        *of_control(
            Counter(workflow.status for workflow in orchestrator.client.workflows.values()),
            len(orchestrator.client.runs),
        ),
        *of_trading(figures),
        *of_tasks(health["tasks"]),
        *of_processes(health["processes"]),
    ]
    return text_of(families)
