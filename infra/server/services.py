"""What the routes work with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Annotated

from fastapi import Depends, Header, Query, Request

from infra.server.backtests import Backtests
from infra.server.events import EventHub
from infra.server.feed import ServedFeed
from infra.server.idempotency import Idempotency
from infra.server.live import LiveView
from infra.server.problems import RETRY_S, Refused
from infra.server.watch import Watch
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings

VERSION = version("finagent-orchestration")
MAX_PAGE = 1000


@dataclass
class Services:
    """All that lives as long as the server."""

    orchestrator: FinAgentOrchestrator
    live: LiveView
    hub: EventHub
    watch: Watch
    backtests: Backtests
    feed: ServedFeed | None
    stop: asyncio.Event
    """Set to end the server."""
    started: int
    """When it started, ns UTC."""
    idempotency: Idempotency = field(default_factory=Idempotency)
    tracing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    """Traces read the whole log: so many at once."""

    @property
    def settings(self) -> Settings:
        """Return the settings."""
        return self.orchestrator.settings

    def full(self) -> str:
        """Return why no further workflow is let in; empty where there is room."""
        most = self.settings.orchestrator.max_concurrent_tasks
        if self.live.workflows.in_flight < most:
            return ""
        return f"{most} workflows are in flight (orchestrator.max_concurrent_tasks)"


def services(request: Request) -> Services:
    """Return what the app was opened with."""
    found: Services = request.app.state.services
    return found


def working(request: Request) -> Services:
    """Return the services; refuse where the server is about to stop."""
    found = services(request)
    if found.stop.is_set():
        raise Refused(503, "the server is shutting down", retry_s=RETRY_S)
    return found


In = Annotated[Services, Depends(services)]
"""For routes that read."""
Working = Annotated[Services, Depends(working)]
"""For routes that change something."""
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Items of a page at most.")]
Cursor = Annotated[
    str | None,
    Query(pattern=r"^[0-9]{1,19}\..{1,400}$", description="The `next` of the page before; without it the newest."),
]
RecordCursor = Annotated[
    str | None,
    Query(
        pattern=r"^[0-9]{1,19}\.[0-9]{1,9}\.[0-9]{1,19}$",
        description="The `next` of the page before; without it the newest.",
    ),
]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key and body once more is done once; another body is refused with 409.",
    ),
]
