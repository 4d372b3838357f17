"""The dashboard's page, and a plain page that lists the routes."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse

from infra.server.docs_page import docs_page
from infra.server.problems import Refused

STATIC = Path(__file__).parents[1] / "static"
router = APIRouter(include_in_schema=False)


@router.get("/")
async def index() -> FileResponse:
    """Give the dashboard."""
    page = STATIC / "index.html"
    if not page.is_file():
        raise Refused(404, "this installation has no dashboard")
    return FileResponse(page)


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """List the routes for people; needs no network."""
    return HTMLResponse(docs_page(request.app.openapi()))
