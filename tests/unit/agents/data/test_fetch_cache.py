"""Fetches that are remembered."""

from __future__ import annotations

import pytest

from agents.data import cache as cache_module
from agents.data.cache import FetchCache
from agents.data.fetch import FetchParameters
from agents.data.sources import SampleProvider
from schemas import BarBlock
from streams.errors import UnknownSymbol


class Counting(SampleProvider):
    """The sample, counting what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def bars(self, *asked: object) -> tuple[BarBlock, ...]:
        self.asked += 1
        return super().bars(*asked)  # type: ignore[arg-type]


def wanted(symbol: str, **more: object) -> FetchParameters:
    return FetchParameters.read({"symbols": [symbol], **more})


def test_the_same_request_is_asked_once_and_gives_the_same_rows() -> None:
    provider = Counting()
    cache = FetchCache([provider], 2)
    first, rows = cache.fetch(wanted("AAPL"))
    again, same = cache.fetch(FetchParameters.read({"symbols": ("AAPL",), "period": "1d"}))
    assert again is first
    assert same is rows
    assert provider.asked == 1
    other, _ = cache.fetch(wanted("AAPL", lookback=300))
    assert sum(map(len, other.blocks)) == 301
    assert provider.asked == 2


def test_the_one_used_longest_ago_goes_first() -> None:
    provider = Counting()
    cache = FetchCache([provider], 2)
    for symbol in ("AAPL", "IBM", "AAPL", "MSFT", "AAPL", "IBM"):
        cache.fetch(wanted(symbol))
    assert provider.asked == 4  # IBM gave way to MSFT


def test_nothing_is_remembered_without_entries_of_errors_or_of_large_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Counting()
    none = FetchCache([provider], 0)
    none.fetch(wanted("AAPL"))
    none.fetch(wanted("AAPL"))
    assert provider.asked == 2
    cache = FetchCache([provider], 8)
    for _ in range(2):
        with pytest.raises(UnknownSymbol):
            cache.fetch(wanted("NONE"))
    monkeypatch.setattr(cache_module, "MAX_ROWS", 100)
    cache.fetch(wanted("AAPL"))
    cache.fetch(wanted("AAPL"))
    assert provider.asked == 4
