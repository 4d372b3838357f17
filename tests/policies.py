"""Policies of random weights that may decide for runs on the sample."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from agents.data.fetch import Fetched, FetchParameters, fetch
from agents.data.sources import SampleProvider
from rl.config import RLAlgorithm
from rl.market import Market
from rl.panel import Panel
from rl.policy import Policy
from rl.rules import TradingRules
from rl.serving import SERVING, Serving

SYMBOLS = ("AAPL", "IBM", "MSFT")


def bars(start: str = "2008-07-01", end: str = "2009-01-30", symbols: tuple[str, ...] = SYMBOLS) -> Fetched:
    """Return the sample's bars of a range."""
    return fetch(SampleProvider(), FetchParameters(symbols=symbols, start=start, end=end))


def market_of(fetched: Fetched) -> Market:
    """Return the market of bars."""
    return Market.of(Panel.of(fetched.blocks))


def random_policy(seen: Market, rules: TradingRules, seed: int, hidden: tuple[int, ...] = (64, 64)) -> Policy:
    """Return a policy of random weights, whose actions reach far into their range."""
    rng, count = np.random.default_rng(seed), len(seen.panel.instrument_ids)
    sizes = [seen.observation_size, *hidden, count]
    layers = tuple(
        (
            (3 * rng.standard_normal((inputs, outputs)) / np.sqrt(inputs)).astype(np.float32),
            (0.3 * rng.standard_normal(outputs)).astype(np.float32),
        )
        for inputs, outputs in pairwise(sizes)
    )
    low = np.full(count, -1.0 if rules.allow_short else 0.0, np.float32)
    return Policy(RLAlgorithm.TD3, layers, low, np.ones(count, np.float32))


def metadata(seen: Market, rules: TradingRules, **changed: Any) -> dict[str, Any]:
    """Return what a policy's file must say to serve."""
    return {SERVING: {**Serving.of(seen, rules).model_dump(mode="json"), **changed}, "training_id": "t"}
