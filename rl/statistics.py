"""What several seeds say together: interquartile means and their intervals."""

from __future__ import annotations

import numpy as np

from schemas.columns import Float64
from streams.errors import InvalidData

RESAMPLES = 2000


def interquartile_mean(values: Float64) -> float:
    """Return the mean of what is left without the lowest and the highest quarter, each rounded down.

    Source: Agarwal et al. 2021; 4 values lose 2, 5 lose 2, 3 lose none.
    """
    if not values.size:
        raise InvalidData("an interquartile mean needs at least one value")
    ordered, cut = np.sort(values, axis=None), values.size // 4
    return float(ordered[cut : values.size - cut].mean())


def interval(runs: Float64, *, seed: int, level: float = 0.95, resamples: int = RESAMPLES) -> tuple[float, float]:
    """Return the percentile interval of the interquartile mean by the stratified bootstrap.

    runs: one row per task (a fold, a market), one column per seed, shape (tasks, seeds); each row draws its seeds anew.
    Source: Agarwal et al. 2021. Raises InvalidData for fewer than 2 seeds.
    """
    tasks, seeds = runs.shape
    if seeds < 2:
        raise InvalidData(f"an interval needs at least 2 seeds, got {seeds}")
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, seeds, (resamples, tasks, seeds))
    means = [interquartile_mean(runs[np.arange(tasks)[:, None], columns]) for columns in drawn]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
