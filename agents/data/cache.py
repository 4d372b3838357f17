"""Fetches that are remembered: the same request gives the same immutable blocks without asking a provider again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

from agents.data.fetch import Fetched, FetchParameters, fetch_first
from agents.data.providers import Provider
from agents.references import Rows

MAX_ROWS = 20_000
"""A fetch of more bars, 64 bytes each, is not remembered."""


class FetchCache:
    """Fetches from providers in their order; the results used last are kept.

    It rests on providers that give the same rows for the same request as long as the process lives. Safe for threads.
    """

    def __init__(self, providers: Sequence[Provider], entries: int) -> None:
        """Keep at most so many results; 0 keeps none."""
        self._providers = providers
        self._entries = entries
        self._kept: OrderedDict[FetchParameters, tuple[Fetched, Rows]] = OrderedDict()
        self._lock = Lock()

    def fetch(self, parameters: FetchParameters) -> tuple[Fetched, Rows]:
        """Return what fetch_first returns, with its blocks as the rows of a result; errors are not remembered."""
        with self._lock:
            if parameters in self._kept:
                self._kept.move_to_end(parameters)
                return self._kept[parameters]
        fetched = fetch_first(self._providers, parameters)
        found = fetched, Rows(fetched.blocks)
        if sum(map(len, fetched.blocks)) <= MAX_ROWS:
            self._keep(parameters, found)
        return found

    def _keep(self, parameters: FetchParameters, found: tuple[Fetched, Rows]) -> None:
        with self._lock:
            self._kept[parameters] = found
            while len(self._kept) > self._entries:
                self._kept.popitem(last=False)
