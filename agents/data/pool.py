"""The data pool: fetches history for workflow steps. Live data comes in by the feed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from agents.data.cache import FetchCache
from agents.data.calendars import iso_date
from agents.data.fetch import FetchParameters
from agents.data.providers import Provider
from agents.data.requirements import check_required, columns_of
from agents.pool import AgentPool
from agents.steps import StepContext
from schemas import Instrument
from streams.errors import ConfigError, UnknownInstrument


class ResolveParameters(BaseModel):
    """Instruments to look up."""

    model_config = ConfigDict(extra="forbid")
    symbols: tuple[str, ...]
    """Bare symbols or SYMBOL.VENUE."""


CACHE_ENTRIES = 64
"""Fetches that a pool remembers by default."""


def build(providers: Sequence[Provider], cache_entries: int = CACHE_ENTRIES) -> AgentPool:
    """Return the pool over providers in their order; it remembers so many fetches, 0 none."""
    pool = AgentPool("data")
    cache = FetchCache(providers, cache_entries)

    @pool.step("fetch_market_data")
    @pool.step("fetch_data")
    def fetch_market_data(parameters: dict[str, Any]) -> dict[str, Any]:
        """Return bars by reference, with their source and range; required_data names what they must have."""
        asked = {name: value for name, value in parameters.items() if value not in ("", None)}
        required = asked.pop("required_data", ())
        fetched, rows = cache.fetch(FetchParameters.read(asked))
        blocks = fetched.blocks
        check_required(required, columns_of(blocks) if required else ())
        return {
            "bars": rows,
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
    def resolve_instruments(parameters: ResolveParameters, step: StepContext) -> dict[str, Any]:
        """Return reference data: from the topic `instruments`, else from the first provider that has it."""
        lists = [step.instruments.values(), *(provider.instruments().values() for provider in providers)]
        return {"instruments": [_resolved(symbol, lists).model_dump() for symbol in parameters.symbols]}

    return pool


def _resolved(symbol: str, lists: Sequence[Iterable[Instrument]]) -> Instrument:
    for known in lists:
        found = [each for each in known if symbol in (each.symbol, each.instrument_id)]
        if len(found) > 1:
            raise ConfigError(f"{symbol} is not unique, name one of {', '.join(each.instrument_id for each in found)}")
        if found:
            return found[0]
    names = ", ".join(sorted({each.instrument_id for known in lists for each in known}))
    raise UnknownInstrument(f"Unknown symbol {symbol!r}: no feed has published it, no provider has it; known: {names}")
