"""Walk forward: train on the past, choose on what came after, judge on what came after that; again and again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from agents.metrics.bootstrap import confidence_interval
from rl.baselines import BASELINES
from rl.config import RLConfiguration
from rl.diagnosis import Status
from rl.evaluation import Evaluation, evaluate, follow
from rl.examination import Examination
from rl.job import Data, Document, Part
from rl.market import Market
from rl.rewards import RewardFunction, parse_reward
from rl.rules import TradingRules
from rl.splits import Split, walk_forward
from rl.statistics import interquartile_mean, interval
from rl.training import Training
from schemas.columns import Float64
from schemas.message import canonical_json

YEAR = 252


class WalkForward(Part):
    """How far each part reaches, and what is repeated."""

    train_years: int = Field(default=8, ge=1)
    """Calendar years that are learned from."""
    validation_years: int = Field(default=2, ge=1)
    """Years after them that the policy is chosen on."""
    test_years: int = Field(default=4, ge=1)
    """Years after those that it is judged on; the next round begins so many years later."""
    seeds: int = Field(default=5, ge=2, le=1000)
    """Trainings of each round, with the seeds seed, seed + 1, ..."""
    costs_bps: tuple[float, ...] = Field(default=(10.0, 25.0), min_length=1)
    """Commission in basis points, each a study of its own: trained and judged with it, without spread or impact."""
    looks: int = Field(default=20, ge=1)
    """Evaluations during a training, after the first."""


class Study(Document):
    """All that decides a study's outcome; the same study on the same data gives the same figures."""

    data: Data
    """What is traded."""
    rules: TradingRules = TradingRules()
    """What policies and baselines may do; the study sets the costs."""
    reward: str | dict[str, Any] = "log_return"
    """A reward's name, or {name: {weight: 1.0, ...}} for a sum of several."""
    algorithms: tuple[RLConfiguration, ...] = Field(min_length=1)
    """Each algorithm once."""
    steps: int = Field(ge=1)
    """Environment steps of each training."""
    walk_forward: WalkForward = WalkForward()
    """Its rounds."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [config.algorithm for config in self.algorithms]
        if len(set(names)) < len(names):
            raise ValueError(f"a study takes each algorithm once, got {', '.join(names)}")
        parse_reward(self.reward)
        return self

    @cached_property
    def whole(self) -> Market:
        """Return all sessions up to the end that have features."""
        return Market.of(self.data.panel())

    @cached_property
    def splits(self) -> list[Split]:
        """Return the rounds in their order."""
        plan, market = self.walk_forward, self.whole.between(*self.data.sessions)
        return list(walk_forward(market, plan.train_years, plan.validation_years, plan.test_years))

    def tasks(self) -> list[Task]:
        """Return every training that it takes."""
        return [
            Task(fold, bps, config.model_copy(update={"seed": config.seed + n}))
            for bps in self.walk_forward.costs_bps
            for fold in range(len(self.splits))
            for config in self.algorithms
            for n in range(self.walk_forward.seeds)
        ]

    def reward_function(self) -> RewardFunction:
        """Return the reward."""
        return parse_reward(self.reward)

    def rules_at(self, bps: float) -> TradingRules:
        """Return the rules with a commission of so many basis points and no other cost."""
        own = {"commission_rate": bps / 1e4, "half_spread_bps": 0.0, "impact_coefficient": 0.0}
        return self.rules.model_copy(update={"costs": self.rules.costs.model_copy(update=own)})

    @property
    def config_hash(self) -> str:
        """Return the SHA-256 of the study, as names of the data and not the rows."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json")).encode()).hexdigest()


@dataclass(frozen=True)
class Task:
    """One training."""

    fold: int
    bps: float
    config: RLConfiguration


@dataclass(frozen=True)
class Outcome:
    """What one policy, or one baseline, came to on a test span."""

    name: str
    """The algorithm, or the baseline."""
    fold: int
    bps: float
    seed: int | None
    """None for a baseline."""
    evaluation: Evaluation
    status: Status | None = None
    """What the diagnosis said of the training."""


def train(study: Study, task: Task) -> Outcome:
    """Do one training and judge the policy that did best on the validation span."""
    from rl.vector_env import VectorTradingEnv

    split, rules = study.splits[task.fold], study.rules_at(task.bps)
    envs = VectorTradingEnv(split.train, rules, study.reward_function(), task.config.num_envs)
    training = Training(task.config, envs, steps=study.steps)
    exam = Examination(split, rules, study.reward_function(), task.config, study.walk_forward.looks)
    for _ in exam.follow(training):
        pass
    assert exam.best is not None
    judged = evaluate(exam.best, split.test, rules, study.reward_function())
    name = str(task.config.algorithm)
    return Outcome(name, task.fold, task.bps, task.config.seed, judged, exam.diagnosis().status)


def baselines(study: Study) -> list[Outcome]:
    """Return what the baselines came to on the same spans at the same costs."""
    return [
        Outcome(name, fold, bps, None, follow(rule(study.whole, split.test), split.test, study.rules_at(bps)))
        for bps in study.walk_forward.costs_bps
        for fold, split in enumerate(study.splits)
        for name, rule in BASELINES.items()
    ]


def run(study: Study, workers: int = 1, told: Callable[[Outcome], None] = lambda _: None) -> list[Outcome]:
    """Run a study in so many processes; the same study gives the same outcomes in the same order."""
    tasks = study.tasks()
    found: dict[int, Outcome] = {}
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_take, initargs=(study,)) as pool:
        pending = {pool.submit(_trained, task): place for place, task in enumerate(tasks)}
        try:
            for done in as_completed(pending):
                found[pending[done]] = done.result()
                told(done.result())
        finally:
            # Where one fails, those that wait are not begun.
            pool.shutdown(cancel_futures=True)
    return [*(found[place] for place in range(len(tasks))), *baselines(study)]


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    name: str
    bps: float
    sharpe: float
    """Interquartile mean of the Sharpe ratio over rounds and seeds."""
    interval: tuple[float, float] | None
    """Its 95 % interval over seeds; none for a baseline."""
    annual_return: float
    """Of all test spans in a row: the mean over seeds."""
    max_drawdown: float
    turnover: float
    """Value traded a year, over equity."""
    converged: float | None
    """Share of the trainings that converged; none for a baseline."""


@dataclass(frozen=True)
class Comparison:
    """An algorithm beside a baseline, paired by round."""

    name: str
    baseline: str
    bps: float
    sharpe: float
    """Interquartile mean of the difference of Sharpe ratios."""
    over_seeds: tuple[float, float]
    """Its 95 % interval by resampling seeds."""
    excess: float
    """Mean return a year beyond the baseline's, of all test spans in a row, mean over seeds."""
    over_time: tuple[float, float]
    """Its 95 % interval by the stationary bootstrap of the daily differences."""

    @property
    def verdict(self) -> str:
        """Return wins or loses where both intervals say so, else no difference."""
        lows, highs = zip(self.over_seeds, self.over_time, strict=True)
        if min(lows) > 0:
            return "wins"
        return "loses" if max(highs) < 0 else "no difference shown"


def table(study: Study, outcomes: Sequence[Outcome]) -> list[Line]:
    """Return a line for each algorithm and baseline at each cost."""
    return [
        _line(name, bps, [each for each in outcomes if (each.name, each.bps) == (name, bps)], study)
        for bps in study.walk_forward.costs_bps
        for name in dict.fromkeys(each.name for each in outcomes)
    ]


def compare(study: Study, outcomes: Sequence[Outcome]) -> list[Comparison]:
    """Return each algorithm beside each baseline at each cost."""
    return [
        _comparison(study, str(config.algorithm), baseline, bps, outcomes)
        for bps in study.walk_forward.costs_bps
        for config in study.algorithms
        for baseline in BASELINES
    ]


def growth(outcomes: Iterable[Outcome]) -> Float64:
    """Return the daily returns of all test spans in a row, one row per seed, shape (seeds, days)."""
    by_seed: dict[int | None, list[Outcome]] = {}
    for each in outcomes:
        by_seed.setdefault(each.seed, []).append(each)
    rows = [[_returns(each) for each in sorted(own, key=lambda each: each.fold)] for own in by_seed.values()]
    return np.array([np.concatenate(row) for row in rows])


def _line(name: str, bps: float, own: list[Outcome], study: Study) -> Line:
    sharpes, daily = _sharpes(own), growth(own)
    levels = np.cumprod(1 + daily, axis=1)
    peaks = np.maximum.accumulate(np.maximum(levels, 1), axis=1)
    learned = own[0].seed is not None
    return Line(
        name=name,
        bps=bps,
        sharpe=interquartile_mean(sharpes),
        interval=interval(sharpes, seed=study.algorithms[0].seed) if learned else None,
        annual_return=float((levels[:, -1] ** (YEAR / daily.shape[1]) - 1).mean()),
        max_drawdown=float((1 - levels / peaks).max(axis=1).mean()),
        turnover=float(np.mean([each.evaluation.turnover.mean() * YEAR for each in own])),
        converged=float(np.mean([each.status in ("converged", "improving") for each in own])) if learned else None,
    )


def _comparison(study: Study, name: str, baseline: str, bps: float, outcomes: Sequence[Outcome]) -> Comparison:
    own, other = ([each for each in outcomes if (each.name, each.bps) == (key, bps)] for key in (name, baseline))
    apart = _sharpes(own) - _sharpes(other)
    daily = growth(own).mean(axis=0) - growth(other)[0]
    seed = study.algorithms[0].seed
    over_time = confidence_interval(
        lambda each: float(each.mean()) * YEAR, daily, generator=np.random.default_rng(seed)
    )
    assert over_time is not None
    over_seeds = interval(apart, seed=seed)
    return Comparison(name, baseline, bps, interquartile_mean(apart), over_seeds, float(daily.mean()) * YEAR, over_time)


def _sharpes(own: list[Outcome]) -> Float64:
    """Return Sharpe ratios, shape (rounds, seeds)."""
    folds = sorted({each.fold for each in own})
    return np.array([[_sharpe(each) for each in own if each.fold == fold] for fold in folds])


def _sharpe(outcome: Outcome) -> float:
    found = outcome.evaluation.figures()["sharpe_ratio"]
    return 0.0 if found is None else found


def _returns(outcome: Outcome) -> Float64:
    equity = outcome.evaluation.equity
    before = equity[:-1]
    changes: Float64 = np.divide(np.diff(equity), before, out=np.zeros_like(before), where=before > 0)
    return changes


_STUDY: list[Study] = []


def _take(study: Study) -> None:
    """Keep the study in a worker's process, so that it crosses once and not with each task."""
    _STUDY[:] = [study]


def _trained(task: Task) -> Outcome:
    return train(_STUDY[0], task)
