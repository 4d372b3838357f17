"""Steps per second of the trading environment, counted per environment, in one thread."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np

from agents.data.sources import SampleProvider
from rl.market import Market
from rl.panel import Panel
from rl.rewards import LogReturn
from rl.rules import TradingRules
from rl.vector_env import VectorTradingEnv

SYMBOLS = ("AAPL", "GOOGL", "IBM", "MSFT")
STEPS = 2_000
ROUNDS = 5


def market(instruments: int = 4) -> Market:
    """Return the features of real daily bars, volumes included."""
    provider = SampleProvider()
    return Market.of(
        Panel.of([block for name in SYMBOLS[:instruments] for block in provider.bars(name, "1d", None, None)])
    )


def run(counts: tuple[int, ...] = (1, 8, 64, 256), *, impact: float = 0.1) -> dict[str, Any]:
    """Step under random weights, with episodes of a year; by CPU time, the median of the rounds, taken in turn.

    impact: the cost model's coefficient; 0 leaves the square-root law out.
    """
    seen = market()
    rules = TradingRules(episode_steps=252)
    rules = rules.model_copy(update={"costs": rules.costs.model_copy(update={"impact_coefficient": impact})})
    envs = {count: VectorTradingEnv(seen, rules, LogReturn(), count) for count in counts}
    taken: dict[int, list[float]] = {count: [] for count in counts}
    for env in envs.values():
        env.reset(seed=0)
    for _ in range(ROUNDS):
        for count, env in envs.items():
            taken[count].append(_seconds(env))
    return {
        "instruments": len(SYMBOLS),
        "observation": seen.observation_size,
        "impact": impact,
        "environments": {
            count: {"us_per_step": round(1e6 * s, 1), "steps_per_s": round(count / s)}
            for count, s in ((count, median(each)) for count, each in taken.items())
        },
    }


def _seconds(env: VectorTradingEnv) -> float:
    """Return the CPU time of a batched step, resets of ended episodes included."""
    shape, rng = (50, env.num_envs, len(SYMBOLS)), np.random.default_rng(0)
    actions = rng.random(shape, dtype=np.float32)
    began = time.process_time()
    for step in range(STEPS):
        env.step(actions[step % 50])
    return (time.process_time() - began) / STEPS


if __name__ == "__main__":
    for coefficient in (0.1, 0.0):
        print(run(impact=coefficient))
