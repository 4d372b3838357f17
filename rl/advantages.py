"""Generalised advantage estimation (Schulman et al. 2016, equations 11 to 16)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rl.rows import Float32


def advantages(
    rewards: Float32,
    values: Float32,
    next_values: Float32,
    *,
    terminated: NDArray[np.bool_],
    truncated: NDArray[np.bool_],
    gamma: float,
    gae_lambda: float,
) -> Float32:
    """Return the advantages of a rollout; all arrays have shape (steps, environments), in the order of their time.

    next_values are those of each step's own next observation. A terminated step has no value after it. A truncated one
    has, but what follows in the rollout is of another episode: sums stop at both.
    """
    after = next_values * (~terminated).astype(np.float32)
    deltas: Float32 = rewards + np.float32(gamma) * after - values
    decays = (~(terminated | truncated)).astype(np.float32) * np.float32(gamma * gae_lambda)
    later = deltas[-1]
    for delta, decay in zip(deltas[-2::-1], decays[-2::-1], strict=True):
        later = np.add(delta, decay * later, out=delta)
    return deltas
