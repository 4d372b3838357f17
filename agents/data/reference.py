"""What a table of prices does not say about its instrument."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from agents.data.calendars import ALWAYS, is_calendar
from schemas.market import Instrument
from streams.errors import ConfigError, UnknownSymbol


@dataclass(frozen=True)
class Reference:
    """Reference data of an instrument, and how its rows are stamped."""

    venue: str = "XXXX"
    """Market identifier code (ISO 10383), where XXXX is no market, or the exchange's name."""
    currency: str = "USD"
    """Quote and settlement currency."""
    tick_size: float = 0.01
    """Smallest price step, in the currency."""
    lot_size: float = 1.0
    """Smallest quantity step, in units."""
    calendar: str | None = None
    """Trading calendar; None takes the venue's where one has its name, and 24/7 otherwise."""
    stamp: Literal["open", "close"] = "open"
    """Which end of its interval an intraday bar's timestamp names."""
    interval: str | None = None
    """Length of the bars; None reads it off their timestamps."""

    def instrument(self, symbol: str) -> Instrument:
        """Return the instrument that a symbol names here; ConfigError where a value is not valid."""
        calendar = self.calendar or (self.venue if self.venue != "XXXX" and is_calendar(self.venue) else ALWAYS)
        try:
            return Instrument(
                instrument_id=f"{symbol}.{self.venue}",
                symbol=symbol,
                venue=self.venue,
                currency=self.currency,
                tick_size=self.tick_size,
                lot_size=self.lot_size,
                calendar=calendar,
            )
        except ValidationError as error:
            raise ConfigError(f"Reference data of {symbol!r}: {problems(error)}") from error


References = Reference | Mapping[str, Reference]
"""One for all symbols, or one for each."""
DEFAULT = Reference()
_NAMES_SHOWN = 20


def reference_of(references: References, symbol: str) -> Reference:
    """Return a symbol's reference data; ConfigError where a mapping lacks it."""
    if isinstance(references, Reference):
        return references
    if symbol not in references:
        raise ConfigError(f"No reference data for {symbol!r}, expected one of {tuple(references)}")
    return references[symbol]


def unknown_symbol(symbol: str, source: str, held: Iterable[str]) -> UnknownSymbol:
    """Return the error that names the symbols there are, the first 20 of them."""
    names = sorted(held)
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    shown = ", ".join(names[:_NAMES_SHOWN])
    return UnknownSymbol(f"Unknown symbol {symbol!r} in {source}, expected one of ({shown}{more})")


def problems(error: ValidationError) -> str:
    """Write in one line what a model refused, with the fields' names and values."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'all'}: {problem['msg']}, got {problem['input']!r}"
        for problem in error.errors(include_url=False)
    )
