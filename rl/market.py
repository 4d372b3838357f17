"""A market: a panel and what a policy sees of it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from agents.transaction_cost.model import WINDOW
from rl.indicators import Indicators
from rl.panel import Panel
from rl.rows import Float32
from schemas.columns import Float64
from streams.errors import ConfigError, MissingData


@dataclass(frozen=True)
class Market:
    """The rows of a panel that have features; row i of every array is the same bar."""

    panel: Panel
    """From the first row with features on."""
    indicators: Indicators
    features: Float32
    """Shape (T, N, F); row t is made of rows up to t."""
    volatility: Float64
    """Standard deviation (ddof 1) of log returns over the 20 closes before each row, for market impact, (T, N)."""

    @classmethod
    def of(cls, panel: Panel, indicators: Indicators | None = None) -> Self:
        """Compute the features of a panel; raise MissingData where it is shorter than their warm-up."""
        chosen = indicators or Indicators(volumes=panel.volumes is not None)
        if chosen.volumes and panel.volumes is None:
            raise ConfigError(f"{panel.source} has closes only: volume features need volumes")
        first = max(chosen.warm_up, WINDOW)
        if len(panel) < first + 2:
            raise MissingData(
                f"{panel.source} has {len(panel)} rows, features need {first} before the first and 2 more"
            )
        features = chosen.over(panel.closes, panel.volumes)
        return cls(panel[first:], chosen, features[first:], _volatility(panel.closes)[first:])

    def __len__(self) -> int:
        return len(self.panel)

    def __getitem__(self, rows: slice) -> Self:
        """Return some of the rows; their features stay those of the whole past."""
        return replace(self, panel=self.panel[rows], features=self.features[rows], volatility=self.volatility[rows])

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of an instrument's features."""
        return self.indicators.names

    @property
    def observation_size(self) -> int:
        """Return the length of an observation: features of all instruments, a weight for each, the cash share."""
        return int(self.features[0].size) + len(self.panel.instrument_ids) + 1

    def between(self, start: str | None = None, end: str | None = None) -> Self:
        """Return the rows of the sessions from start to end, ISO dates, both included; none: no bound.

        Features stay those of the whole past. Raises MissingData where fewer than 2 rows are left.
        """
        first, last = (date and dt.date.fromisoformat(date).isoformat() for date in (start, end))
        dates = np.array(self.panel.session_dates)
        begin = int(np.searchsorted(dates, first)) if first else 0
        stop = int(np.searchsorted(dates, last, side="right")) if last else len(dates)
        if stop - begin < 2:
            held = f"{self.panel.source} has features from {dates[0]} to {dates[-1]}"
            raise MissingData(f"{held}, which leaves fewer than 2 rows from {start} to {end}")
        return self[begin:stop]


def observation(features: Float32, weights: Float64) -> Float32:
    """Return what a policy sees, in one row: features (N, F), weights as prices have moved them (N,), share of cash."""
    cash = 1 - weights.sum()
    return np.concatenate([features.ravel(), np.clip([*weights, cash], -10, 10)], dtype=np.float32)


def _volatility(closes: Float64) -> Float64:
    changes = np.diff(np.log(closes), axis=0)
    found = np.full(closes.shape, np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(changes, WINDOW - 1, axis=0)
    found[WINDOW:] = windows[: len(closes) - WINDOW].std(axis=-1, ddof=1)
    return found
