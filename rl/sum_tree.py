"""A sum tree: draws places in proportion to their weights, many at once, in a logarithm of their number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


class SumTree:
    """Weights at its leaves, at each node the sum of the two below; node 1 is the root, node n has 2n and 2n + 1.

    Each sum is computed anew from what is below, so no rounding gathers.
    """

    def __init__(self, size: int) -> None:
        self._leaves = 1 << max(0, size - 1).bit_length()
        self._nodes: Float64 = np.zeros(2 * self._leaves)

    @property
    def total(self) -> float:
        """Return the sum of all weights."""
        return float(self._nodes[1])

    def leaves(self, count: int) -> Float64:
        """Return the first weights, shape (count,)."""
        return self._nodes[self._leaves : self._leaves + count].copy()

    def get(self, places: Int64) -> Float64:
        """Return the weights at places."""
        found: Float64 = self._nodes[self._leaves + places]
        return found

    def set(self, places: Int64, weights: Float64 | float) -> None:
        """Set the weights at places; where a place stands twice, the last one counts."""
        nodes = self._leaves + places
        self._nodes[nodes] = weights
        for _ in range(self._leaves.bit_length() - 1):
            nodes = nodes >> 1
            self._nodes[nodes] = self._nodes[2 * nodes] + self._nodes[2 * nodes + 1]

    def find(self, at: Float64) -> Int64:
        """Return for each number in [0, total) the place whose span of the running sum it falls in."""
        nodes = np.ones(len(at), np.int64)
        left = at.copy()
        for _ in range(self._leaves.bit_length() - 1):
            nodes *= 2
            below = self._nodes[nodes]
            right = left >= below
            left -= np.where(right, below, 0.0)
            nodes += right
        return nodes - self._leaves

    def grow(self, size: int) -> None:
        """Make room for so many weights; those that it has stay."""
        if size <= self._leaves:
            return
        grown = SumTree(size)
        grown.set(np.arange(self._leaves), self.leaves(self._leaves))
        self._leaves, self._nodes = grown._leaves, grown._nodes
