"""The data pool: fetches history for workflow steps. Live data comes in by the feed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from agents.data.calendars import iso_date
from agents.data.fetch import FetchParameters, fetch_first
from agents.data.providers import Provider
from agents.data.reference import unknown_symbol
from agents.pool import AgentPool
from agents.steps import Rows


class ResolveParameters(BaseModel):
    """Instruments to look up."""

    model_config = ConfigDict(extra="forbid")
    symbols: tuple[str, ...]
    """Bare symbols or SYMBOL.VENUE."""


def build(providers: Sequence[Provider]) -> AgentPool:
    """Return the pool over providers in their order."""
    pool = AgentPool("data")

    @pool.step("fetch_market_data")
    @pool.step("fetch_data")
    def fetch_market_data(parameters: dict[str, Any]) -> dict[str, Any]:
        """Return bars by reference, with their source and range."""
        asked = {name: value for name, value in parameters.items() if value not in ("", None)}
        fetched = fetch_first(providers, FetchParameters.read(asked))
        blocks = fetched.blocks
        return {
            "bars": Rows(blocks),
            "instruments": [instrument.model_dump() for instrument in fetched.instruments],
            "interval": blocks[0].interval,
            "start": iso_date(int(min(block.session_day[0] for block in blocks))),
            "end": iso_date(int(max(block.session_day[-1] for block in blocks))),
            "rows": sum(map(len, blocks)),
            "source": fetched.provider,
            "synthetic": fetched.synthetic,
            "note": fetched.note,
        }

    @pool.step("resolve_instruments")
    def resolve_instruments(parameters: ResolveParameters) -> dict[str, Any]:
        """Return the reference data of instruments."""
        known = {
            name: instrument
            for provider in reversed(providers)
            for instrument in provider.instruments().values()
            for name in (instrument.symbol, instrument.instrument_id)
        }
        names = ", ".join(provider.name for provider in providers)
        for symbol in parameters.symbols:
            if symbol not in known:
                raise unknown_symbol(symbol, names, known)
        return {"instruments": [known[symbol].model_dump() for symbol in parameters.symbols], "source": names}

    return pool
