"""Strategy templates."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from agents.data.sources import open_providers
from infra.server.models import Page, TemplateView
from infra.server.services import In
from infra.server.templates import templates

router = APIRouter(tags=["strategies"])


@router.get("/templates", response_model=Page[TemplateView])
async def listed(services: In) -> Page[TemplateView]:
    """List the kinds of strategies that forms offer, with their parameters and the symbols that there is data for."""
    names = services.settings.data.providers
    providers = await asyncio.to_thread(open_providers, names)
    symbols = sorted({instrument.symbol for provider in providers for instrument in provider.instruments().values()})
    return Page(items=templates(symbols))
