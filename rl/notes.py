"""Notes: what is seen of a job's training as it goes on, kept beside its checkpoint."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rl import checkpoint
from rl.curve import Curve
from rl.diagnosis import Checkup, diverged, warn
from rl.examination import Examination
from rl.job import TrainingJob
from rl.outcome import Outcome, data_hash
from rl.policy import Policy
from rl.rewards import RewardFunction
from rl.training import Progress
from rl.weights import Arrays, pack, sha256, unpack
from streams.errors import Diverged, InvalidData, MissingData

KIND = "finagent.notes.v1"
SEEN = "seen.safetensors"
"""The best policy so far, and what was seen on the way."""
RECENT = 100
"""Episodes that the final reward is the mean of."""


@dataclass
class Notes:
    """What was seen of a training so far."""

    job: TrainingJob
    own_reward: RewardFunction | None = None
    """One of the caller's own, in place of the job's."""
    examination: Examination = field(init=False)
    curve: Curve = field(init=False, default_factory=Curve)
    """Rewards of the episodes."""
    last: Progress = field(default_factory=lambda: Progress(0, 0, 0, (), {}))
    """How far it is."""
    seconds: float = 0.0
    """How long it has trained."""
    _recent: deque[float] = field(init=False, default_factory=lambda: deque(maxlen=RECENT))

    def __post_init__(self) -> None:
        job = self.job
        self.reward = self.own_reward or job.reward_function()
        self.examination = Examination(job.parts, job.rules, self.reward, job.config, job.evaluations)

    @property
    def share(self) -> float:
        """Return how much of the training is done, 0 to 1."""
        job, last = self.job, self.last
        of_steps = last.steps / job.steps if job.steps else 0.0
        of_episodes = last.episodes / job.episodes if job.episodes else 0.0
        return min(1.0, max(of_steps, of_episodes))

    @property
    def final_reward(self) -> float | None:
        """Return the mean reward of the last episodes, up to 100; none before the first has ended."""
        return float(np.mean(self._recent)) if self._recent else None

    def hear(self, progress: Progress) -> None:
        """Take in a round."""
        rewards = [episode.reward for episode in progress.ended]
        self._recent.extend(rewards)
        self.curve.add(progress.steps, rewards)
        self.last = progress

    def save(self) -> None:
        """Write the notes; the checkpoint that they belong to comes after."""
        exam = self.examination
        told = {
            **self._hashes(),
            "best_at": exam.best_at,
            "points": [point.told() for point in exam.points],
            "recent": list(self._recent),
            "curve": self.curve.told(),
            "seconds": self.seconds,
        }
        arrays = {} if exam.best is None else {"best": np.frombuffer(exam.best.pack(), np.uint8)}
        checkpoint.write(self.job.path / SEEN, pack(KIND, arrays, told))

    def check_own(self) -> None:
        """Raise InvalidData where the folder holds another job's training, or one on other data."""
        if (self.job.path / SEEN).exists():
            self._read()

    def resume(self, steps: int, episodes: int, updates: int) -> None:
        """Take the notes up as of so many steps.

        Raises MissingData where there are none, InvalidData where they are of another job or other data.
        """
        path = self.job.path / SEEN
        if not path.exists():
            raise MissingData(f"{path} is not there: remove {self.job.path}, and begin anew without --resume")
        arrays, told = self._read()
        self.last = Progress(steps, episodes, updates, (), {})
        try:
            self._take_up(arrays, told, steps)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidData(f"{path}: {error!r}") from error

    def _read(self) -> tuple[Arrays, dict[str, Any]]:
        data = (self.job.path / SEEN).read_bytes()
        arrays, told = unpack(KIND, data, sha256(data))
        for what, own in self._hashes().items():
            if (given := told.get(what)) != own:
                raise InvalidData(
                    f"the training in {self.job.path} is of another {what} ({given}), not of {own}: remove the folder, "
                    "or give this one a name of its own"
                )
        return arrays, told

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Hold the folder while the training goes on; where its numbers are lost, log the warning.

        Raises ConfigError where the folder is in use, InvalidData where it holds another job's training.
        """
        with checkpoint.held(self.job.path):
            self.check_own()
            try:
                yield
            except Diverged as error:
                warn(diverged(error), self.last.episodes)
                raise

    def _take_up(self, arrays: Arrays, told: dict[str, Any], steps: int) -> None:
        exam = self.examination
        exam.points = [Checkup.of(point) for point in told["points"] if point["steps"] <= steps]
        exam.best = Policy.unpack(arrays["best"].tobytes())[0] if "best" in arrays else None
        exam.best_at = int(told["best_at"])
        self._recent.extend(float(reward) for reward in told["recent"])
        self.curve = Curve.of(told["curve"])
        self.seconds = float(told["seconds"])

    def _hashes(self) -> dict[str, str]:
        return {"job": self.job.config_hash, "data": data_hash(self.job.market.panel)}

    def outcome(self) -> Outcome:
        """Return what the training came to."""
        return Outcome(
            job=self.job,
            reward=self.reward,
            examination=self.examination,
            steps=self.last.steps,
            episodes=self.last.episodes,
            updates=self.last.updates,
            final_reward=self.final_reward,
            seconds=self.seconds,
            complete=self.share >= 1,
        )

    @property
    def checkpoints(self) -> Path:
        """Return the checkpoint's folder."""
        return self.job.path / "checkpoint"

    @property
    def begun(self) -> bool:
        """Tell whether there is a checkpoint."""
        return (self.checkpoints / checkpoint.LATEST).exists()
