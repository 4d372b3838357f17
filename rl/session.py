"""A training job in one process: looked at now and then, and kept in checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rl.job import TrainingJob
from rl.notes import Notes
from rl.rewards import RewardFunction
from rl.training import Progress, Training


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
        """Yield after each round until the end, or until stop says so; a checkpoint is left either way."""
        saved = began = time.monotonic()
        before = self.notes.seconds
        for progress in self.notes.examination.follow(self.training):
            self.notes.hear(progress)
            self.notes.seconds = before + time.monotonic() - began
            yield progress
            if stop():
                break
            if time.monotonic() > saved + self.job.checkpoint_every_s:
                self.save()
                saved = time.monotonic()
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
