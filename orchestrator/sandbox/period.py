"""The period that providers have of symbols."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from agents.data.calendars import iso_date
from agents.data.providers import Provider
from streams.errors import MissingData


def held_by_all(providers: Sequence[Provider], symbols: Sequence[str]) -> tuple[dt.date, dt.date] | None:
    """Return the first and last session that all symbols have, of the first provider with daily bars of them all.

    None where no provider has them: fetching then tells why.
    """
    for provider in providers:
        try:
            spans = [_span(provider, symbol) for symbol in symbols]
        except MissingData:
            continue
        found = [span for span in spans if span is not None]
        if len(found) == len(symbols):
            return max(first for first, _ in found), min(last for _, last in found)
    return None


def _span(provider: Provider, symbol: str) -> tuple[dt.date, dt.date] | None:
    for instrument in provider.instruments().values():
        if symbol in (instrument.symbol, instrument.instrument_id):
            blocks = provider.bars(instrument.symbol, "1d", None, None)
            first, last = int(blocks[0].session_day[0]), int(blocks[-1].session_day[-1])
            return dt.date.fromisoformat(iso_date(first)), dt.date.fromisoformat(iso_date(last))
    return None
