"""Examination: a training is looked at now and then, on what it learns from and on what it does not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from rl.config import RLConfiguration
from rl.diagnosis import Checkup, Diagnosis, diagnose
from rl.evaluation import bias, evaluate, saturation
from rl.policy import Policy
from rl.rewards import RewardFunction
from rl.rows import Float32
from rl.rules import TradingRules
from rl.splits import Split
from rl.training import Progress, Training

TIMES = 20
"""Looks at a training, unless told."""


@dataclass
class Examination:
    """What was seen of a training so far; the test span is not touched.

    The policy that is kept is the one that scored best on the validation span, the first of equals; the first look, at
    what nobody has trained, is not among them.
    """

    split: Split
    rules: TradingRules
    reward: RewardFunction
    config: RLConfiguration
    times: int = TIMES
    """Looks after the first one, spread evenly over the training."""
    points: list[Checkup] = field(default_factory=list)
    best: Policy | None = None
    """The policy to keep; none before the second look."""
    best_at: int = 0
    """Steps at which it was."""
    _heard: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def hear(self, figures: Mapping[str, float]) -> None:
        """Take in what a round of updates tells."""
        for name, value in figures.items():
            self._heard[name].append(value)

    def due(self, share: float) -> bool:
        """Tell whether it is time for a look, where so much of the training is done, 0 to 1."""
        return len(self.points) <= share * self.times

    def look(
        self,
        policy: Policy,
        steps: int,
        episodes: int,
        figures: Mapping[str, float],
        values: Callable[[Float32], Float32] | None = None,
    ) -> Checkup:
        """Let a policy trade the training and the validation span, and keep it where it is the best so far.

        figures: what told() returned at that time; values: the critic's, for its bias.
        """
        train = evaluate(policy, self.split.train, self.rules, self.reward)
        held = evaluate(policy, self.split.validation, self.rules, self.reward).score
        before = [point.validation for point in self.points[1:] if point.validation is not None]
        if self.points and held > max(before, default=-np.inf):
            self.best, self.best_at = policy.copy(), steps
        off = None
        if values is not None:
            gamma, scale = self.config.gamma, self.config.reward_scale
            off = bias(values, policy, self.split.train, self.rules, self.reward, gamma=gamma, reward_scale=scale)
        point = Checkup(
            steps=steps,
            episodes=episodes,
            train=train.score,
            validation=held,
            saturation=saturation(policy, self.split.train),
            turnover=float(train.turnover.mean()),
            q_bias=off,
            figures=figures,
        )
        self.points.append(point)
        return point

    def follow(self, training: Training) -> Iterator[Progress]:
        """Yield a training's progress round by round to its end, looking at it where that is due."""
        if not self.points:
            self._look_at(training)
        for progress in training.run():
            self.hear(progress.figures)
            if self.due(training.share):
                self._look_at(training)
            yield progress

    def told(self) -> dict[str, float]:
        """Return the means of what was heard since the last call, and the largest of what is a maximum."""
        heard, self._heard = self._heard, defaultdict(list)
        return {name: float((np.max if name.endswith("_max") else np.mean)(each)) for name, each in heard.items()}

    def diagnosis(self) -> Diagnosis:
        """Return what the looks say."""
        return diagnose(self.points, self.config)

    def _look_at(self, training: Training) -> None:
        last = self.points and training.share >= 1
        values = training.algorithm.values if last else None
        self.look(training.policy, training.collector.steps, training.done_episodes, self.told(), values)
