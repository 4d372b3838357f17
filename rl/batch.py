"""A batch of transitions in preallocated memory, as tensors that are views of its columns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from rl.normaliser import Normaliser
from rl.replay import Drawn, Replay
from rl.rows import Layout


class Batch:
    """Is drawn anew for each gradient step; its tensors keep their place, in the type and on the device of `like`."""

    def __init__(self, layout: Layout, size: int, *, like: Tensor, normaliser: Normaliser | None) -> None:
        host = torch.empty(size, layout.width)
        self._layout = layout
        self._normaliser = normaliser
        self._host = host
        self._numpy = host.numpy()
        rows = host if like.device == host.device and like.dtype == host.dtype else like.new_empty(host.shape)
        self._rows = rows
        self.observations = rows[:, layout.observation]
        """Shape (size, observations)."""
        self.observations_actions = rows[:, : layout.reward]
        """What critics are given: observations | actions."""
        self.rewards = rows[:, layout.reward : layout.reward + 1]
        """Shape (size, 1)."""
        self.next_observations = rows[:, layout.next_observation]
        """Shape (size, observations)."""
        self.terminated = rows[:, layout.terminated : layout.terminated + 1]
        """1 where nothing comes after, shape (size, 1). A truncated step is 0 here: its value goes on."""
        self.drawn = Drawn(np.empty(0, np.int64))
        """Which rows it has."""
        self.weights: Tensor | None = None
        """What each row counts in the critics' loss, shape (size, 1); none: all the same."""

    def draw(self, replay: Replay) -> None:
        """Fill it from the buffer; observations are normalised on the way, rows in the buffer stay as they are."""
        self.drawn = replay.sample(self._numpy)
        if self._normaliser is not None:
            for columns in (self._layout.observation, self._layout.next_observation):
                self._numpy[:, columns] = self._normaliser.normalise(self._numpy[:, columns])
        if self._rows is not self._host:
            self._rows.copy_(self._host)
        if self.drawn.weights is not None:
            self.weights = torch.from_numpy(self.drawn.weights).to(self._rows).unsqueeze(1)


class Means:
    """Gathers figures of gradient steps without waiting for the device, and tells their means."""

    def __init__(self) -> None:
        self._told: dict[str, list[Tensor]] = {}

    def add(self, **figures: Tensor) -> None:
        """Take the figures of one step, each a tensor of one number."""
        for name, figure in figures.items():
            self._told.setdefault(name, []).append(figure)

    def figures(self) -> Mapping[str, float]:
        """Return the mean of each figure over the steps that told it."""
        return {name: float(torch.stack(told).mean()) for name, told in self._told.items()}
