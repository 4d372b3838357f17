"""A training job in one process: looked at now and then, and kept in checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rl.job import TrainingJob
from rl.notes import Notes
from rl.rewards import RewardFunction
from rl.training import Progress, Training

SAVING = 0.05
"""Share of a training's time that its checkpoints may take: a full buffer is hundreds of megabytes."""


@dataclass
class Session:
    """A job that is trained in this process; run() once, then notes.outcome()."""

    job: TrainingJob
    reward: RewardFunction | None = None
    """One of the caller's own, in place of the job's."""
    notes: Notes = field(init=False)
    training: Training = field(init=False)

    def __post_init__(self) -> None:
        job, self.notes = self.job, Notes(self.job, self.reward)
        envs = job.environments(job.config.seed, self.notes.reward)
        self.training = Training(job.config, envs, steps=job.steps, episodes=job.episodes)

    def run(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Progress]:
        """Yield after each round until the end, or until stop says so; a checkpoint is left either way.

        Raises ConfigError where the folder is in use, InvalidData where it holds another job's training, and Diverged,
        with the warning, where the numbers are lost.
        """
        with self.notes.at_work():
            yield from self._rounds(stop)

    def _rounds(self, stop: Callable[[], bool]) -> Iterator[Progress]:
        began = time.monotonic()
        before, due = self.notes.seconds, began + self.job.checkpoint_every_s
        for progress in self.notes.examination.follow(self.training):
            self.notes.hear(progress)
            self.notes.seconds = before + time.monotonic() - began
            yield progress
            if stop():
                break
            if (now := time.monotonic()) > due:
                self.save()
                took = time.monotonic() - now
                due = now + max(self.job.checkpoint_every_s, took / SAVING)
        self.save()

    def save(self) -> None:
        """Write a checkpoint."""
        self.notes.save()
        self.training.save(self.notes.checkpoints)

    def resume(self) -> None:
        """Go on from the checkpoint.

        Raises MissingData where there is none, InvalidData where it was changed, or is of another job or other data.
        """
        training = self.training
        training.resume(self.notes.checkpoints)
        self.notes.resume(training.collector.steps, training.done_episodes, training.algorithm.updates)
