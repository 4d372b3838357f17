"""Running figures of observations, by which networks see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rl.rows import Float32
from rl.weights import Arrays
from streams.errors import InvalidData

VARIANCE_FLOOR = 1e-8
"""Added to a variance before its root is taken: what never changes stays 0."""
CLIP = 10.0
"""Bound of a normalised observation, as a Policy has it."""


class Normaliser:
    """Mean and standard deviation of all observations so far (parallel algorithm of Chan, Golub and LeVeque 1979)."""

    def __init__(self, size: int) -> None:
        self.count = 0
        """Observations so far."""
        self.mean: Float32 = np.zeros(size, np.float32)
        """Shape (size,); changed in place, so that a policy which shares it follows."""
        self.std: Float32 = np.ones(size, np.float32)
        self._mean = np.zeros(size)
        self._squares = np.zeros(size)  # sum of squared distances from the mean

    def add(self, observations: Float32) -> None:
        """Take observations of shape (n, size) into the figures."""
        count = len(observations)
        if not count:
            return
        own = observations.astype(np.float64)
        mean = own.mean(axis=0)
        squares = np.square(own - mean).sum(axis=0)
        total = self.count + count
        apart = mean - self._mean
        self._mean += apart * (count / total)
        self._squares += squares + np.square(apart) * (self.count * count / total)
        self.count = total
        self._tell()

    def normalise(self, observations: Float32) -> Float32:
        """Return observations of shape (..., size) as the networks see them."""
        seen: Float32 = np.clip((observations - self.mean) / self.std, -CLIP, CLIP)
        return seen

    def state(self) -> Arrays:
        """Return the figures, to be restored to the bit."""
        return {"count": np.array([self.count]), "mean": self._mean.copy(), "squares": self._squares.copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take figures back; raise InvalidData where they are of another size."""
        if state["mean"].shape != self._mean.shape or state["squares"].shape != self._squares.shape:
            raise InvalidData(f"figures of {state['mean'].shape} observations, expected {self._mean.shape}")
        self.count = int(state["count"].item())
        self._mean[:], self._squares[:] = state["mean"], state["squares"]
        self._tell()

    def _tell(self) -> None:
        self.mean[:] = self._mean
        if self.count:
            self.std[:] = np.sqrt(self._squares / self.count + VARIANCE_FLOOR)
        else:
            self.std[:] = 1
