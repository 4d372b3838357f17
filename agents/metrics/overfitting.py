"""How likely the best of several backtests is best by chance."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Float64
from streams.errors import InvalidData

_AT_ONCE = 2_000_000
"""Splits x trials that are worked on at a time."""


@dataclass(frozen=True)
class Overfitting:
    """What combinatorially symmetric cross-validation found."""

    probability: float
    """Share of the splits in which the in-sample best is at or below the out-of-sample median."""
    logits: Float64
    """Of the out-of-sample relative rank of the in-sample best, one a split, shape (splits,)."""
    loss_probability: float
    """Share of the splits in which the in-sample best has a mean return below 0 out of sample."""
    slope: float
    """Of the regression of its out-of-sample on its in-sample Sharpe ratio; below 0: the better, the worse later."""


def probability_of_overfitting(returns: Float64, blocks: int = 16) -> Overfitting:
    """Split the periods into blocks in every symmetric way, choose the best on one half, rank it on the other.

    returns: per period and trial, shape (periods, trials). The measure is the Sharpe ratio per period (ddof 1), 0 where
    a trial does not move; ties share their mean rank. Source: Bailey, Borwein, Lopez de Prado and Zhu 2017.
    Raises InvalidData for fewer than 2 trials, an odd number of blocks, or blocks of fewer than 2 periods.
    """
    periods, trials = returns.shape
    if trials < 2 or blocks < 2 or blocks % 2 or periods < 2 * blocks:
        raise InvalidData(
            f"got {periods} periods of {trials} trials in {blocks} blocks, expected at least 2 trials, an even number "
            "of blocks, and at least 2 periods in each"
        )
    used = returns[periods % blocks :].reshape(blocks, -1, trials)
    sums, squares = used.sum(axis=1), (used**2).sum(axis=1)  # (blocks, trials) each
    chosen = np.array(list(combinations(range(blocks), blocks // 2)))  # (splits, blocks / 2)
    inside = np.zeros((len(chosen), blocks))
    np.put_along_axis(inside, chosen, 1.0, axis=1)
    count = used.shape[1] * blocks // 2
    # Some splits at a time: all of them by many trials would not fit into memory.
    parts = np.array_split(inside, -(-len(chosen) * trials // _AT_ONCE))
    found = [_ranked(part, sums, squares, count) for part in parts]
    before, achieved, totals, ranks = (np.concatenate(column) for column in zip(*found, strict=True))
    relative = ranks / (trials + 1)
    logits = np.log(relative / (1 - relative))
    return Overfitting(
        probability=float((logits <= 0).mean()),
        logits=logits,
        loss_probability=float((totals < 0).mean()),
        slope=_slope(before, achieved),
    )


def _ranked(inside: Float64, sums: Float64, squares: Float64, count: int) -> tuple[Float64, Float64, Float64, Float64]:
    """Return of each split's best the ratio in sample, and ratio, sum of returns and rank out of sample."""
    first = _sharpe(inside @ sums, inside @ squares, count)  # (splits, trials)
    outside = (1 - inside) @ sums
    second = _sharpe(outside, (1 - inside) @ squares, count)
    best, rows = first.argmax(axis=1), np.arange(len(inside))
    achieved = second[rows, best]
    ranks = (second < achieved[:, None]).sum(axis=1) + ((second == achieved[:, None]).sum(axis=1) + 1) / 2
    return first[rows, best], achieved, outside[rows, best], ranks


def _sharpe(sums: Float64, squares: Float64, count: int) -> Float64:
    means = sums / count
    variances = np.maximum(squares - count * means**2, 0.0) / (count - 1)
    # What does not move leaves a variance of rounding errors alone.
    moving: NDArray[np.bool_] = variances > 1e-12 * np.maximum(squares / count, 1e-300)
    result: Float64 = np.divide(means, np.sqrt(variances), out=np.zeros_like(means), where=moving)
    return result


def _slope(before: Float64, after: Float64) -> float:
    spread = before - before.mean()
    total = float(spread @ spread)
    return float(spread @ (after - after.mean())) / total if total > 0 else 0.0
