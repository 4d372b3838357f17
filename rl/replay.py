"""The replay buffer: one float32 matrix, a ring over the latest transitions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl.config import RLConfiguration
from rl.rows import Float32, Layout
from rl.sum_tree import SumTree
from rl.weights import Arrays
from streams.errors import InvalidData

FIRST = 65_536
"""Rows that memory is taken for at first; it doubles as they fill."""
LEAST_ERROR = 1e-6
"""Added to an error before it becomes a priority, so that no transition is lost (Schaul et al. 2016, section 3.3)."""


@dataclass(frozen=True)
class Drawn:
    """Which rows were drawn."""

    places: NDArray[np.int64]
    """Shape (count,)."""
    weights: Float32 | None = None
    """What each counts in the loss, at most 1, shape (count,); none: all the same."""


class Replay:
    """Keeps the latest rows and draws uniformly; row k since the start lies at k % capacity."""

    def __init__(self, capacity: int, layout: Layout, seed: int) -> None:
        self.capacity = capacity
        self.layout = layout
        self.inserted = 0
        """Rows that were ever added."""
        self.progress = 0.0
        """Share of the training that is done, 0 to 1; whoever trains sets it."""
        self.rng = np.random.default_rng(seed)
        self._rows = np.empty((min(FIRST, capacity), layout.width), np.float32)

    def __len__(self) -> int:
        return min(self.inserted, self.capacity)

    @property
    def rows(self) -> Float32:
        """Return the rows that are held, in the order of their places; a view."""
        return self._rows[: len(self)]

    def since(self, inserted: int) -> Float32:
        """Return the rows added after so many, oldest first, as far as they are still held."""
        first = max(inserted, self.inserted - len(self))
        return self._rows[np.arange(first, self.inserted) % self.capacity]

    def add(self, rows: Float32) -> None:
        """Add rows of shape (n, width); raise InvalidData for another width or a number that is not finite."""
        if rows.ndim != 2 or rows.shape[1] != self.layout.width:
            raise InvalidData(f"rows have shape {rows.shape}, expected (n, {self.layout.width})")
        if not np.isfinite(rows).all():
            raise InvalidData("a transition has a number that is not finite")
        kept = rows[-self.capacity :]
        start = self.inserted + len(rows) - len(kept)
        self._grow(min(start + len(kept), self.capacity))
        first = start % self.capacity
        head = min(len(kept), self.capacity - first)
        self._rows[first : first + head] = kept[:head]
        self._rows[: len(kept) - head] = kept[head:]
        self.inserted += len(rows)

    def _grow(self, needed: int) -> None:
        if needed <= len(self._rows):
            return
        grown = np.empty((min(self.capacity, max(needed, 2 * len(self._rows))), self.layout.width), np.float32)
        grown[: len(self._rows)] = self._rows
        self._rows = grown

    def sample(self, out: Float32) -> Drawn:
        """Fill out, shape (count, width), with rows drawn with replacement; raise InvalidData where there are none."""
        if not self.inserted:
            raise InvalidData("the replay buffer is empty: add rows before anything is drawn")
        drawn = self._draw(len(out))
        np.take(self._rows, drawn.places, axis=0, out=out, mode="clip")
        return drawn

    def _draw(self, count: int) -> Drawn:
        return Drawn(self.rng.integers(0, len(self), count))

    def revise(self, drawn: Drawn, errors: Float32) -> None:
        """Take note of the errors that drawn rows had, shape (count,); uniform drawing has no use for them."""

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return what it holds and where its random numbers are: arrays, and what fits JSON."""
        return {"rows": self.rows}, {"inserted": self.inserted, "rng": self.rng.bit_generator.state}

    def restore(self, arrays: Mapping[str, NDArray[Any]], told: Mapping[str, Any]) -> None:
        """Take a state back; raise InvalidData where it does not fit."""
        rows, inserted = arrays["rows"], int(told["inserted"])
        if rows.shape != (min(inserted, self.capacity), self.layout.width) or rows.dtype != np.float32:
            raise InvalidData(f"{rows.dtype} rows of shape {rows.shape} are not those of {inserted} inserted")
        self._grow(len(rows))
        self._rows[: len(rows)] = rows
        self.inserted = inserted
        self.rng.bit_generator.state = told["rng"]

    def digest(self) -> str:
        """Return the SHA-256 of what it holds: equal buffers give equal ones."""
        return hashlib.sha256(self.inserted.to_bytes(8, "little") + self.rows.tobytes()).hexdigest()


class PrioritizedReplay(Replay):
    """Draws rows in proportion to a power of their last error (Schaul et al. 2016); new ones as the highest so far."""

    def __init__(self, capacity: int, layout: Layout, seed: int, *, alpha: float, beta: float) -> None:
        super().__init__(capacity, layout, seed)
        self.alpha = alpha
        self.beta = beta
        self._highest = 1.0
        self._tree = SumTree(len(self._rows))

    def add(self, rows: Float32) -> None:
        """Add rows of shape (n, width), each with the highest priority that any had."""
        super().add(rows)
        count = min(len(rows), self.capacity)
        self._tree.grow(len(self._rows))
        self._tree.set(np.arange(self.inserted - count, self.inserted) % self.capacity, self._highest)

    def _draw(self, count: int) -> Drawn:
        """Draw one row from each of count equal shares of the total, and weigh out the bias (equation 1, section 3.4).

        The weights are scaled so that the largest of the batch is 1.
        """
        total = self._tree.total
        at = (np.arange(count) + self.rng.random(count)) * (total / count)
        places = np.minimum(self._tree.find(at), len(self) - 1)
        beta = self.beta + (1 - self.beta) * self.progress
        weights = (self._tree.get(places) / total * len(self)) ** -beta
        return Drawn(places, (weights / weights.max()).astype(np.float32))

    def revise(self, drawn: Drawn, errors: Float32) -> None:
        """Set the priorities of drawn rows by the size of their errors."""
        priorities = (np.abs(errors).astype(np.float64) + LEAST_ERROR) ** self.alpha
        self._tree.set(drawn.places, priorities)
        self._highest = max(self._highest, float(priorities.max()))

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return what it holds, with the priorities."""
        arrays, told = super().state()
        return {**arrays, "priorities": self._tree.leaves(len(self))}, {**told, "highest": self._highest}

    def restore(self, arrays: Mapping[str, NDArray[Any]], told: Mapping[str, Any]) -> None:
        """Take a state back; raise InvalidData where it does not fit."""
        super().restore(arrays, told)
        priorities = arrays["priorities"]
        if priorities.shape != (len(self),) or not (np.isfinite(priorities).all() and (priorities > 0).all()):
            raise InvalidData(f"priorities of shape {priorities.shape} are not {len(self)} positive numbers")
        self._tree = SumTree(len(self._rows))
        self._tree.set(np.arange(len(self)), priorities)
        self._highest = float(told["highest"])


def replay_of(config: RLConfiguration, layout: Layout) -> Replay:
    """Return an empty buffer, of the kind and size that a configuration asks for."""
    if not config.prioritized:
        return Replay(config.buffer_size, layout, config.seed)
    alpha, beta = config.priority_alpha, config.priority_beta
    return PrioritizedReplay(config.buffer_size, layout, config.seed, alpha=alpha, beta=beta)
