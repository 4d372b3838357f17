"""Splits by time: what a policy learns from, what it is chosen on, what it is judged on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rl.market import Market
from streams.errors import ConfigError, MissingData


@dataclass(frozen=True)
class Split:
    """Three spans of one market, one after the other; features come from the whole past, never from a later one."""

    train: Market
    """What is learned from."""
    validation: Market
    """What the policy is chosen on among those that a training passes through."""
    test: Market
    """What is told of it: seen by no choice."""


def split(market: Market, shares: tuple[float, float, float] = (0.6, 0.2, 0.2)) -> Split:
    """Cut a market by shares of its rows; raise ConfigError for shares that are not positive or do not add up to 1."""
    if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise ConfigError(f"train, validation and test take positive shares that add up to 1, got {shares}")
    first, second = round(len(market) * shares[0]), round(len(market) * (shares[0] + shares[1]))
    return _cut(market, 0, first, second, len(market))


def walk_forward(market: Market, train_years: int, validation_years: int, test_years: int) -> Iterator[Split]:
    """Yield splits of whole calendar years, each test_years later than the one before; tests never overlap.

    A first or last year that the market has only part of counts as one. Raises ConfigError for a length below 1,
    MissingData where not even one split fits.
    """
    if min(train_years, validation_years, test_years) < 1:
        raise ConfigError(f"expected at least a year each, got {train_years}, {validation_years}, {test_years}")
    years = np.array([int(date[:4]) for date in market.panel.session_dates])
    first, last = int(years[0]), int(years[-1])
    span = train_years + validation_years + test_years
    if first + span - 1 > last:
        raise MissingData(f"{market.panel.source} has the years {first} to {last}, one split takes {span}")
    for begin in range(first, last - span + 2, test_years):
        ends = (begin, begin + train_years, begin + train_years + validation_years, begin + span)
        start, trained, validated, tested = (int(np.searchsorted(years, year)) for year in ends)
        yield _cut(market, start, trained, validated, tested)


def _cut(market: Market, start: int, trained: int, validated: int, tested: int) -> Split:
    if min(trained - start, validated - trained, tested - validated) < 2:
        raise MissingData(f"{market.panel.source}: {tested - start} rows are too few for three parts of 2 and more")
    return Split(market[start:trained], market[trained:validated], market[validated:tested])
