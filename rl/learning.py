"""What a learner does with chunks once they are taken: replay buffers and rollouts, and the updates that are due."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from rl.algorithm import Algorithm, Figures, OffPolicy, OnPolicy
from rl.config import RLConfiguration
from rl.ingest import Chunk
from rl.precision import computing
from rl.replay import replay_of
from rl.rollouts import Rollouts
from rl.rows import Float32
from rl.streaming import Streaming
from rl.weights import Arrays

SLICE = 32
"""Gradient steps between two looks at the broker."""


class OffPolicyLearning:
    """Inserts into the replay buffer, and does update_to_data gradient steps per transition.

    Which updates it does depends on the chunks that it was given and on their order alone.
    """

    def __init__(self, algorithm: Algorithm, config: RLConfiguration, streaming: Streaming, steps: int) -> None:
        self.algorithm = algorithm
        self.replay = replay_of(config, algorithm.layout)
        self._config, self._streaming, self._steps = config, streaming, steps

    @property
    def transitions(self) -> int:
        """Return how many transitions were ever inserted."""
        return self.replay.inserted

    def wants(self, chunk: Chunk, version: int) -> bool:
        """Take what a policy of at most max_policy_lag versions ago did; 0, random actions, at any time."""
        return not chunk.policy_version or version - chunk.policy_version <= self._streaming.max_policy_lag

    def take(self, chunk: Chunk) -> int:
        """Insert a chunk."""
        self.replay.add(_scaled(chunk.rows, self.algorithm.layout.reward, self._config))
        if self._steps:
            self.replay.progress = min(self.replay.inserted / self._steps, 1.0)
        return 0

    def due(self) -> int:
        """Return how many gradient steps the transitions so far ask for."""
        learned_from = self.replay.inserted - self._config.learning_starts
        return max(int(learned_from * self._config.update_to_data) - self.algorithm.updates, 0)

    def learn(self, limit: int) -> Figures:
        """Do gradient steps on batches of the buffer."""
        with computing(self._config):
            return cast(OffPolicy, self.algorithm).update(self.replay, min(self.due(), limit))

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return what the buffer has besides its rows, which stand on the log."""
        arrays, told = self.replay.state()
        return {name: array for name, array in arrays.items() if name != "rows"}, told

    def restore(self, arrays: Mapping[str, Any], told: Mapping[str, Any]) -> None:
        """Take state back, the rows being there again; raise InvalidData where they are not those."""
        self.replay.restore({**arrays, "rows": self.replay.rows}, told)


class OnPolicyLearning:
    """Learns from whole rollouts of the present policy, and from nothing else."""

    def __init__(self, algorithm: Algorithm, config: RLConfiguration, actors: int) -> None:
        self.algorithm = algorithm
        self.transitions = 0
        self.rollouts = Rollouts(actors, config.n_steps)
        self._config = config

    def wants(self, chunk: Chunk, version: int) -> bool:
        """Take the present policy's chunks only."""
        return chunk.policy_version == version

    def take(self, chunk: Chunk) -> int:
        """Add a chunk to its actor's rollout."""
        self.transitions += chunk.transitions
        return self.rollouts.add(chunk)

    def due(self) -> int:
        """Return 1 where every actor's rollout is whole."""
        return int(self.rollouts.complete)

    def learn(self, limit: int) -> Figures:
        """Learn from the rollouts."""
        rollout = _scaled(self.rollouts.take(), self.algorithm.layout.reward, self._config)
        with computing(self._config):
            return cast(OnPolicy, self.algorithm).update(rollout)


def learning_of(
    algorithm: Algorithm, config: RLConfiguration, streaming: Streaming, actors: int, steps: int
) -> OffPolicyLearning | OnPolicyLearning:
    """Return the way in which an algorithm learns from chunks."""
    if isinstance(algorithm, OffPolicy):
        return OffPolicyLearning(algorithm, config, streaming, steps)
    return OnPolicyLearning(algorithm, config, actors)


def _scaled(rows: Float32, reward: int, config: RLConfiguration) -> Float32:
    """Return rows with rewards scaled; off-policy rows as a list of transitions."""
    scaled = rows.reshape(-1, rows.shape[-1]) if config.algorithm.off_policy else rows
    if config.reward_scale != 1.0:
        scaled = scaled.copy()
        scaled[..., reward] *= config.reward_scale
    return scaled
