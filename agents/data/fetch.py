"""The fetch of a workflow step: which bars were asked for, and what came of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from agents.data.bars import heading_of, pack, unpack
from agents.data.calendars import iso_date
from agents.data.intervals import interval_ns
from agents.data.providers import Provider
from agents.data.reference import problems, unknown_symbol
from schemas.market import BarBlock, Instrument
from streams.errors import ConfigError, DataError, MissingData, UnknownSymbol

DEFAULT_BARS = 252
"""Bars that a fetch without dates returns: a year of sessions."""


def _date(value: object) -> object:
    return dt.date.fromisoformat(value) if isinstance(value, str) else value


IsoDate = Annotated[dt.date, BeforeValidator(_date), Field(strict=True)]


class FetchParameters(BaseModel):
    """Bars to fetch."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    symbols: tuple[str, ...] = Field(min_length=1)
    """Bare symbols or SYMBOL.VENUE."""
    start: IsoDate | None = None
    """First session, ISO date; None is the first there is."""
    end: IsoDate | None = None
    """Last session, included; None is the last there is."""
    interval: str = "1d"
    """Length of the bars; period is another name for it."""
    lookback: int = Field(default=0, ge=0)
    """Bars that a decision needs before its own; used where no date is given."""

    @model_validator(mode="before")
    @classmethod
    def _period(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "period" not in values:
            return values
        rest = {name: value for name, value in values.items() if name != "period"}
        if rest.setdefault("interval", values["period"]) != values["period"]:
            raise ValueError(f"interval {rest['interval']!r} and period {values['period']!r} differ; give one of them")
        return rest

    @model_validator(mode="after")
    def _check(self) -> Self:
        interval_ns(self.interval)
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError(f"symbols repeat in {self.symbols}")
        return self

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> FetchParameters:
        """Return the parameters in a step's JSON; ConfigError where they are not valid."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"Parameters of a fetch: {problems(error)}") from error


@dataclass(frozen=True)
class Fetched:
    """What a fetch returned."""

    blocks: tuple[BarBlock, ...]
    """Bars, symbol after symbol as asked, each symbol's in time order; a block spans at most 104 days."""
    instruments: tuple[Instrument, ...]
    """One per symbol, as asked."""
    provider: str
    """Name of the provider used."""
    synthetic: bool
    """True where the rows were generated."""
    note: str
    """Provider, whether real or synthetic, and the dates, for people."""


def fetch(provider: Provider, parameters: FetchParameters) -> Fetched:
    """Return the bars asked for; without dates the last max(252, lookback + 1) of each symbol, or all if fewer.

    UnknownSymbol, MissingData where the range or the lookback is not all there, ConfigError where end is before start.
    """
    instruments = tuple(_resolve(provider, symbol) for symbol in parameters.symbols)
    series = [_bars(provider, instrument.symbol, parameters) for instrument in instruments]
    return Fetched(
        blocks=tuple(block for blocks in series for block in blocks),
        instruments=instruments,
        provider=provider.name,
        synthetic=provider.synthetic,
        note=_note(provider, parameters, series),
    )


def fetch_first(providers: Sequence[Provider], parameters: FetchParameters) -> Fetched:
    """Fetch from the first provider that has all of it; never from two, whose adjustments may differ.

    Where none has: UnknownSymbol if none knows a symbol, else MissingData; both give each provider's reason.
    """
    errors: list[DataError] = []
    for provider in providers:
        try:
            return fetch(provider, parameters)
        except (UnknownSymbol, MissingData) as error:
            errors.append(error)
    unknown = errors and all(isinstance(error, UnknownSymbol) for error in errors)
    reasons = "; ".join(map(str, errors)) or "No data provider is configured"
    raise UnknownSymbol(reasons) if unknown else MissingData(reasons)


def _resolve(provider: Provider, name: str) -> Instrument:
    instruments = provider.instruments()
    for instrument in instruments.values():
        if name in (instrument.symbol, instrument.instrument_id):
            return instrument
    raise unknown_symbol(name, provider.name, instruments)


def _bars(provider: Provider, symbol: str, parameters: FetchParameters) -> tuple[BarBlock, ...]:
    blocks = provider.bars(symbol, parameters.interval, parameters.start, parameters.end)
    if parameters.start or parameters.end:
        return blocks
    table = unpack(blocks)
    if len(table) <= parameters.lookback:
        needed = parameters.lookback + 1
        raise MissingData(f"{provider.name} has {len(table)} bars of {symbol}, a lookback needs {needed}")
    return pack(table[-max(DEFAULT_BARS, parameters.lookback + 1) :], heading_of(blocks[0]))


def _note(provider: Provider, parameters: FetchParameters, series: Sequence[Sequence[BarBlock]]) -> str:
    dated = parameters.start or parameters.end
    groups: dict[str, list[str]] = {}
    for blocks in series:
        count = sum(map(len, blocks))
        days = f"{iso_date(int(blocks[0].session_day[0]))} to {iso_date(int(blocks[-1].session_day[-1]))}"
        what = f"{'' if dated else 'no dates asked, the last '}{count} bars of {parameters.interval}, {days}"
        groups.setdefault(what, []).append(blocks[0].instrument_id)
    kind = "synthetic" if provider.synthetic else "real"
    return f"{provider.name} ({kind}): " + "; ".join(f"{', '.join(ids)}: {what}" for what, ids in groups.items())
