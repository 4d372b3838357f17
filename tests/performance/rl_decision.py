"""How long a live decision of a policy takes: indicators, forward pass, weights."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from rl.config import RLAlgorithm
from rl.indicators import Indicators
from rl.policy import Policy
from rl.rules import TradingRules
from rl.serving import Seen, ServedPolicy, Serving

WARM = 200
"""Decisions that do not count, the warm-up of the indicators among them."""


def run(
    instruments: Sequence[int] = (2, 5),
    hidden: Sequence[tuple[int, ...]] = ((64, 64), (256, 256)),
    decisions: int = 5_000,
) -> list[dict[str, Any]]:
    """Return, for each number of instruments and network, the microseconds of a decision on one thread.

    Prices are synthetic, seed 0; the clock is that of the wall, on a machine that others may use at the same time.
    """
    return [_measured(count, arch, decisions) for arch in hidden for count in instruments]


def _measured(count: int, arch: tuple[int, ...], decisions: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    served = _served(count, arch, rng)
    growth = np.exp(rng.normal(0, 0.01, (WARM + decisions, count)))
    closes, volumes = 100 * np.cumprod(growth, axis=0), rng.uniform(1e5, 1e6, growth.shape)
    seen, taken = Seen(), []
    for prices, units in zip(closes, volumes, strict=True):
        began = time.perf_counter()
        served.advance(seen, prices, units)
        taken.append(time.perf_counter() - began)
    microseconds = 1e6 * np.array(taken[WARM:])
    return {
        "instruments": count,
        "hidden": list(arch),
        "median_us": round(float(np.median(microseconds)), 1),
        "p99_us": round(float(np.quantile(microseconds, 0.99)), 1),
        "decisions": decisions,
    }


def _served(count: int, arch: tuple[int, ...], rng: np.random.Generator) -> ServedPolicy:
    names = tuple(f"S{number}.XNAS" for number in range(count))
    serving = Serving(instruments=names, interval="1d", indicators=Indicators(volumes=True), rules=TradingRules())
    sizes = [serving.observation_size, *arch, count]
    layers = tuple(
        ((rng.standard_normal((i, o)) / np.sqrt(i)).astype(np.float32), np.zeros(o, np.float32))
        for i, o in pairwise(sizes)
    )
    policy = Policy(RLAlgorithm.TD3, layers, np.zeros(count, np.float32), np.ones(count, np.float32))
    return ServedPolicy(policy, serving, {})


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
