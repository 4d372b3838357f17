"""Rollouts of several actors, put together from chunks of the present policy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rl.ingest import Chunk
from rl.rows import Float32


@dataclass
class Rollouts:
    """Collects one complete rollout of each of so many actors."""

    actors: int
    n_steps: int
    """Steps of each environment per rollout."""
    _parts: dict[str, list[Chunk]] = field(default_factory=dict)

    def add(self, chunk: Chunk) -> int:
        """Take a chunk in; return how many chunks are lost with it: parts of a rollout that cannot be completed."""
        parts = self._parts.setdefault(chunk.actor_id, [])
        follows = parts and (parts[-1].epoch, parts[-1].sequence + 1) == (chunk.epoch, chunk.sequence)
        lost = 0
        if parts and not (follows and parts[-1].rows.shape[1] == chunk.rows.shape[1]):
            lost, self._parts[chunk.actor_id] = len(parts), []
        self._parts[chunk.actor_id].append(chunk)
        if self._steps(chunk.actor_id) > self.n_steps:
            lost += len(self._parts.pop(chunk.actor_id))
        return lost

    @property
    def complete(self) -> bool:
        """Tell whether enough actors have delivered a whole rollout."""
        return sum(self._steps(actor) == self.n_steps for actor in self._parts) >= self.actors

    @property
    def waiting(self) -> dict[str, int]:
        """Return the steps that are there, by actor."""
        return {actor: self._steps(actor) for actor in self._parts}

    def take(self) -> Float32:
        """Return the rollouts side by side, shape (steps, environments of all actors, width), and begin anew.

        Actors stand in the order of their names, so that the order of arrival plays no part.
        """
        whole = sorted(actor for actor in self._parts if self._steps(actor) == self.n_steps)[: self.actors]
        joined = [np.concatenate([chunk.rows for chunk in self._parts[actor]]) for actor in whole]
        self._parts.clear()
        return np.concatenate(joined, axis=1)

    def clear(self) -> int:
        """Drop everything; return how many chunks that were."""
        dropped = sum(map(len, self._parts.values()))
        self._parts.clear()
        return dropped

    def _steps(self, actor: str) -> int:
        return sum(len(chunk.rows) for chunk in self._parts.get(actor, ()))
