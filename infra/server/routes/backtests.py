"""Backtests: submit, follow, read."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import FileResponse
from pydantic import ConfigDict, Field

from infra.server import models as m
from infra.server.idempotency import id_of
from infra.server.pages import paged
from infra.server.problems import Refused, responses
from infra.server.services import Cursor, In, Key, Limit, Working
from orchestrator.sandbox import SandboxMode
from orchestrator.sandbox.config import AbConfig, BacktestConfig, Config, LiveConfig, MonteCarloConfig, StressConfig

ROUTE = "/backtest"
CONFIGS: Mapping[SandboxMode, type[Config]] = {
    SandboxMode.HISTORICAL_BACKTEST: BacktestConfig,
    SandboxMode.LIVE_SIMULATION: LiveConfig,
    SandboxMode.STRESS_TEST: StressConfig,
    SandboxMode.AB_TEST: AbConfig,
    SandboxMode.MONTE_CARLO: MonteCarloConfig,
}
"""What a mode's parameters must be."""


async def allowed(services: In) -> None:
    """Refuse where the sandbox is switched off."""
    if not services.settings.orchestrator.enable_sandbox:
        raise Refused(403, "orchestrator.enable_sandbox is false")


router = APIRouter(prefix=ROUTE, tags=["backtests"], dependencies=[Depends(allowed)])
_REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:; frame-ancestors 'self'; base-uri 'none'; form-action 'none'; sandbox allow-scripts allow-downloads"
)


class BacktestBody(m.Body):
    """A scenario of the sandbox: its mode, and the mode's own parameters beside it."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "test_id": "momentum_2012",
                    "symbols": ["AAPL", "GOOGL", "MSFT"],
                    "start_date": "2012-01-03",
                    "end_date": "2012-12-31",
                    "initial_capital": 100000,
                    "strategy_type": "momentum",
                }
            ]
        },
    )

    test_id: m.Name | None = None
    """Names it; null: a fresh name."""
    mode: Annotated[SandboxMode, Field(strict=False)] = SandboxMode.HISTORICAL_BACKTEST
    """What the scenario does."""
    symbols: list[str] = Field(default_factory=list, max_length=500)
    """Bare symbols or SYMBOL.VENUE."""

    def config(self) -> dict[str, Any]:
        """Return the parameters of the scenario."""
        own = {"symbols": self.symbols} if self.symbols else {}
        return {**own, **(self.model_extra or {})}


@router.post("", status_code=202, response_model=m.BacktestAccepted, responses=responses(403, 409, 422, 429, 503))
async def submit(body: BacktestBody, services: Working, response: Response, key: Key = None) -> m.BacktestAccepted:
    """Queue a backtest; it runs in a process of its own."""
    services.idempotency.check(ROUTE, key, body)
    CONFIGS[body.mode].read(body.config())
    named = body.test_id or (id_of(ROUTE, key) if key else f"bt-{uuid.uuid4().hex[:12]}")
    job = services.backtests.submit(named, body.mode.value, body.config())
    response.headers["Location"] = f"{ROUTE}/{named}"
    return m.BacktestAccepted(test_id=job.test_id, status=job.status)


@router.get("", response_model=m.Page[m.BacktestView], responses=responses(403, 422))
async def listed(services: In, limit: Limit = 100, cursor: Cursor = None) -> m.Page[m.BacktestView]:
    """List backtests, the one submitted last first; without results."""
    jobs = services.backtests.jobs.values()
    page, following = paged(jobs, limit, cursor, lambda job: (job.created, job.test_id))
    return m.Page(items=[services.backtests.view(job, whole=False) for job in page], next=following)


@router.get("/{test_id}", response_model=m.BacktestView, responses=responses(403, 404))
async def one(test_id: str, services: In) -> m.BacktestView:
    """Tell how a backtest stands, and what it came to."""
    return services.backtests.view(services.backtests.get(test_id), whole=True)


@router.get("/{test_id}/report", response_class=FileResponse, responses=responses(403, 404))
async def report(test_id: str, services: In) -> FileResponse:
    """Give the HTML report of a backtest that is completed."""
    job = services.backtests.get(test_id)
    path = services.backtests.report(job)
    if not path.is_file():
        why = job.error or "it comes when the backtest is completed"
        raise Refused(404, f"backtest {test_id!r} ({job.mode}, {job.status}) has no report: {why}")
    return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": _REPORT_POLICY})
