"""What a learner is: its algorithm, its buffer, what it has taken, and what it has published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rl.algorithm import Algorithm, Figures
from rl.config import RLConfiguration
from rl.ingest import Chunk, Intake
from rl.learning import OffPolicyLearning, learning_of
from rl.rows import Float32, Layout
from rl.segments import Segment, Segments
from rl.streaming import Streaming
from rl.training import check_finite
from rl.weights import Arrays, part_of
from streams.errors import InvalidData

HISTORY = 100
"""Versions, and segments, that a policy's metadata tells of at most."""


@dataclass(frozen=True)
class Plan:
    """What is to be trained."""

    training_id: str
    config: RLConfiguration
    layout: Layout
    low: Float32
    """Lower bounds of the actions, shape (actions,)."""
    high: Float32
    """Upper bounds."""
    actors: int = 1
    """Actors whose rollouts an update waits for. On-policy."""
    steps: int = 0
    """Transitions to learn from; 0: as many as the episodes take."""
    episodes: int = 0
    """Episodes to learn from; 0: as many as the steps give."""
    streaming: Streaming = field(default_factory=Streaming)

    def fixed(self) -> dict[str, Any]:
        """Return what may not change while it is trained."""
        sizes = [self.layout.observation_size, self.layout.action_size]
        return {"config": self.config.model_dump(mode="json"), "sizes": sizes}


class LearnerState:
    """The state of a learner; it depends on the chunks that were taken and on their order alone."""

    def __init__(self, plan: Plan, algorithm: Algorithm) -> None:
        self.plan = plan
        self.algorithm = algorithm
        self.learning = learning_of(algorithm, plan.config, plan.streaming, plan.actors, plan.steps)
        self.intake = Intake()
        self.segments = Segments(plan.config.buffer_size)
        self.version = 0
        """The newest policy's; 0: none was published."""
        self.published_updates = -1
        """Updates when it was published; -1: since the learner started none was."""
        self.history: list[dict[str, Any]] = []
        """The newest versions: version, sha256, updates, transitions."""
        self.episodes = 0
        self.figures: Figures = {}
        """Of the last updates."""

    @property
    def done(self) -> bool:
        """Tell whether it has learned from as much as was asked for."""
        plan = self.plan
        enough = plan.steps and self.learning.transitions >= plan.steps
        return bool(enough or (plan.episodes and self.episodes >= plan.episodes))

    def accepts(self, chunk: Chunk) -> bool:
        """Return whether a chunk is fresh and wanted; it counts as seen."""
        broken = self.intake.gap(chunk) > 0 and chunk.sequence > 0
        if not self.intake.take(chunk):
            return False
        if broken and not isinstance(self.learning, OffPolicyLearning):
            self.published_updates = -1  # its rollout cannot be completed: a new version makes all actors begin one
        if not self.learning.wants(chunk, self.version):
            self.intake.count("stale")
            return False
        self.intake.count("taken")
        return True

    def insert(self, chunk: Chunk) -> None:
        """Take a chunk in."""
        if lost := self.learning.take(chunk):
            self.intake.count("lost", lost)
        self.episodes += len(chunk.episodes)
        if isinstance(self.learning, OffPolicyLearning):
            self.segments.add((chunk.partition, chunk.offset), chunk.transitions, chunk.rows.data.cast("B"))

    def learn(self, limit: int) -> None:
        """Do updates that are due, up to so many gradient steps, and no further than to the next version.

        How many at once depends on the updates so far alone: algorithms may draw for all of them together. Raises
        Diverged once the policy's weights are not finite.
        """
        every = self.plan.streaming.publish_every
        self.figures = dict(self.learning.learn(min(limit, every - self.algorithm.updates % every)))
        check_finite(self.algorithm)

    def publication_due(self) -> bool:
        """Tell whether what was learned asks for a new version."""
        updates, every = self.algorithm.updates, self.plan.streaming.publish_every
        if not isinstance(self.learning, OffPolicyLearning):
            return updates > self.published_updates
        if self.published_updates < 0:
            return self.learning.transitions >= self.plan.config.learning_starts
        return updates // every > self.published_updates // every

    def published(self, version: int, sha256: str) -> None:
        """Note a version; rollouts of the one before are of no use any more."""
        self.version, self.published_updates = version, self.algorithm.updates
        told = {"updates": self.algorithm.updates, "transitions": self.learning.transitions}
        self.history = [*self.history, {"version": version, "sha256": sha256, **told}][-HISTORY:]
        if not isinstance(self.learning, OffPolicyLearning) and (lost := self.learning.rollouts.clear()):
            self.intake.count("lost", lost)

    def priorities(self) -> dict[str, float]:
        """Return the mean priorities of the highest segments by `partition:offset`; empty where draws are uniform."""
        if not (self.plan.config.prioritized and isinstance(self.learning, OffPolicyLearning)):
            return {}
        leaves, replay = self.learning.replay.state()[0]["priorities"], self.learning.replay
        first, found = replay.inserted - self.segments.rows, {}
        for segment in self.segments:
            held = np.arange(max(first, replay.inserted - len(replay)), first + segment.rows) % replay.capacity
            found[f"{segment.partition}:{segment.start}"] = float(np.mean(leaves[held]))
            first += segment.rows
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:HISTORY])

    def save(self) -> tuple[Arrays, dict[str, Any]]:
        """Return all that it goes on from besides the rows of its buffer: arrays, and what fits JSON."""
        arrays: Arrays = {f"algorithm.{name}": array for name, array in self.algorithm.state().items()}
        told: dict[str, Any] = {
            **self.plan.fixed(),
            "training_id": self.plan.training_id,
            "transitions": self.learning.transitions,
            "episodes": self.episodes,
            "updates": self.algorithm.updates,
            "version": self.version,
            "intake": self.intake.state(),
        }
        if isinstance(self.learning, OffPolicyLearning):
            own, told["replay"] = self.learning.state()
            arrays |= {f"replay.{name}": array for name, array in own.items()}
            told["segments"] = [list(segment) for segment in self.segments]
        return arrays, told

    def restore(self, arrays: Mapping[str, Any], told: Mapping[str, Any]) -> None:
        """Take back what save gave, but the replay buffer's own; raise InvalidData where it is of another training."""
        fixed = {"training_id": self.plan.training_id, **self.plan.fixed()}
        for name, value in fixed.items():
            if told.get(name) != value:
                raise InvalidData(f"the checkpoint is of another training: {name} {told.get(name)}, expected {value}")
        self.algorithm.restore(part_of(arrays, "algorithm."))
        self.episodes, self.version = told["episodes"], told["version"]
        self.intake = Intake.restored(told["intake"])
        if isinstance(self.learning, OffPolicyLearning):
            kept = [Segment(*segment) for segment in told["segments"]]
            self.segments = Segments(self.plan.config.buffer_size, kept)
        else:
            self.learning.transitions = told["transitions"]

    def restore_replay(self, arrays: Mapping[str, Any], told: Mapping[str, Any]) -> None:
        """Take back what the replay buffer had besides rows, once they are there again."""
        assert isinstance(self.learning, OffPolicyLearning)
        self.learning.restore(part_of(arrays, "replay."), told["replay"])
