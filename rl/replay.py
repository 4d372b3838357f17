"""The replay buffer: one float32 matrix, a ring over the latest transitions."""

from __future__ import annotations

import hashlib

import numpy as np

from rl.rows import Float32, Layout
from streams.errors import InvalidData

FIRST = 65_536
"""Rows that memory is taken for at first; it doubles as they fill."""


class Replay:
    """Keeps the latest rows; row k since the start lies at k % capacity."""

    def __init__(self, capacity: int, layout: Layout, seed: int) -> None:
        self.capacity = capacity
        self.layout = layout
        self.inserted = 0
        """Rows that were ever added."""
        self.rng = np.random.default_rng(seed)
        self._rows = np.empty((min(FIRST, capacity), layout.width), np.float32)

    def __len__(self) -> int:
        return min(self.inserted, self.capacity)

    @property
    def rows(self) -> Float32:
        """Return the rows that are held, in the order of their places; a view."""
        return self._rows[: len(self)]

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

    def sample(self, count: int) -> Float32:
        """Return count rows, drawn uniformly with replacement, shape (count, width)."""
        return self._rows[self.rng.integers(0, len(self), count)]

    def restore(self, rows: Float32, inserted: int) -> None:
        """Take back what rows held when so many had been inserted; raise InvalidData where they do not fit."""
        if len(rows) != min(inserted, self.capacity) or rows.shape[1] != self.layout.width:
            raise InvalidData(f"rows of shape {rows.shape} are not those of {inserted} inserted")
        self._grow(len(rows))
        self._rows[: len(rows)] = rows
        self.inserted = inserted

    def digest(self) -> str:
        """Return the SHA-256 of what it holds: equal buffers give equal ones."""
        return hashlib.sha256(self.inserted.to_bytes(8, "little") + self.rows.tobytes()).hexdigest()
