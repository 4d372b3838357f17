"""The app: an orchestrator, what follows it, and the routes in front."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from infra.mcp.serving import in_app
from infra.server import metrics
from infra.server.auth import Gate
from infra.server.backtests import Backtests, Job
from infra.server.events import EventHub
from infra.server.feed import FeedPlan, ServedFeed
from infra.server.headers import SecurityHeaders
from infra.server.limits import Admission, BodyLimit, RateLimit
from infra.server.live import LiveView
from infra.server.memory import remembered
from infra.server.openapi import complete
from infra.server.problems import handle_problems, responses
from infra.server.routes import (
    accounts,
    backtests,
    dashboard,
    events,
    log,
    memory,
    records,
    strategies,
    system,
    templates,
    workflows,
)
from infra.server.services import VERSION, Services
from infra.server.watch import Watch
from orchestrator.facade import FinAgentOrchestrator

ROUTERS: Sequence[APIRouter] = (
    system.router,
    strategies.router,
    templates.router,
    workflows.router,
    records.router,
    accounts.router,
    log.router,
    backtests.router,
    memory.router,
    events.router,
    metrics.router,
)
_DESCRIPTION = "REST API of a FinAgent system. Times are RFC 3339 in UTC, lists are paged and newest first."


def create_app(
    orchestrator: FinAgentOrchestrator,
    *,
    key: str = "",
    feed: FeedPlan | None = None,
    stop: asyncio.Event | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """Return the server's app.

    The orchestrator is initialized when the app starts and shut down when it ends. key: what clients must give; empty:
    nothing. stop: set by POST /shutdown, and by whoever ends the server.
    """
    settings = orchestrator.settings
    ending = stop or asyncio.Event()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _opened(orchestrator, feed, ending) as services, tools.session_manager.run():
            app.state.services = services
            yield

    def full() -> str:
        found: Services = app.state.services
        return found.full()

    app: FastAPI = FastAPI(
        title="FinAgent",
        version=VERSION,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(RateLimit, per_s=settings.server.rate_limit_per_s, clock=clock),
            Middleware(Gate, key=key, host=settings.orchestrator.host),
            Middleware(Admission, full=full, paths=frozenset({strategies.ROUTE, workflows.ROUTE})),
            Middleware(BodyLimit, max_bytes=settings.server.max_body_bytes),
        ],
    )
    handle_problems(app)
    for router in ROUTERS:
        app.include_router(router, responses=responses(400, 429))
    app.include_router(dashboard.router)
    app.mount("/static", StaticFiles(directory=dashboard.STATIC, check_dir=False), name="static")
    complete(app, needs_key=bool(key))
    tools = in_app(app, key, settings.orchestrator.host)
    return app


@asynccontextmanager
async def _opened(
    orchestrator: FinAgentOrchestrator, plan: FeedPlan | None, stop: asyncio.Event
) -> AsyncIterator[Services]:
    async with AsyncExitStack() as stack:
        stack.push_async_callback(orchestrator.shutdown)
        await orchestrator.initialize()
        settings, clock = orchestrator.settings, orchestrator.clock
        started = clock.now()
        # Ids go on growing after a restart, so that a client that comes back is not given old events as new ones.
        hub = EventHub(first_id=started // 1_000_000)
        opening = LiveView.open(orchestrator.broker, orchestrator.serde, hub, settings.server.history)
        live = await stack.enter_async_context(opening)
        await stack.enter_async_context(remembered(orchestrator))
        watch = await stack.enter_async_context(Watch.open(orchestrator, live, VERSION))

        def told(job: Job) -> None:
            live.tell("backtest", lambda: tests.view(job, whole=False).model_dump_json())

        tests = await stack.enter_async_context(Backtests.open(settings, clock, told))
        feed = ServedFeed(plan, orchestrator, live) if plan else None
        if feed:
            await stack.enter_async_context(feed.running())
        stack.callback(hub.close)
        yield Services(orchestrator, live, hub, watch, tests, feed, stop, started)
