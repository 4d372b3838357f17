"""Whether a training converges, why not, and what to change."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import numpy as np

from rl.config import RLConfiguration
from schemas.columns import Float64
from streams.errors import Diverged

log = logging.getLogger("RLPolicyEngine")
Status = Literal["converged", "improving", "not converging", "too short"]
LEAST = 6
"""Evaluations from which on there is a trend to speak of."""
LEVEL = 0.95
RESAMPLES = 2000
SATURATED = 0.95
"""Share of actions at their bounds from which on an actor hardly decides any more."""
CHURN = 0.5
"""Turnover per step from which on costs are likely to eat what is earned."""
EXPLODING = 100.0
"""Times by which the gradient's norm may exceed its own median."""
_STEADIER = "lower learning_rate, set max_grad_norm, check rewards and observations for huge values"


@dataclass(frozen=True)
class Checkup:
    """What was seen at one evaluation; the first is of the policy before any update."""

    steps: int
    """Environment steps before it."""
    episodes: int
    """Episodes before it."""
    train: float
    """Score of the deterministic policy on the data that it learns from; higher is better."""
    validation: float | None = None
    """The same on data that it does not learn from."""
    saturation: float = 0.0
    """Share of its actions within 1 % of their bounds."""
    turnover: float | None = None
    """Mean traded share of equity per step."""
    q_bias: float | None = None
    """Mean of the critic's values less the discounted rewards that followed, over their standard deviation."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Means of what the updates told since the evaluation before."""

    def told(self) -> dict[str, Any]:
        """Return it as JSON takes it: figures that are not finite as text."""
        figures = {name: value if math.isfinite(value) else str(value) for name, value in self.figures.items()}
        return {**asdict(self), "figures": figures}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Return what told() told; raise KeyError, TypeError or ValueError for something else."""
        return cls(**{**told, "figures": {name: float(value) for name, value in told["figures"].items()}})


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be."""

    what: str
    """What was seen, with its figure."""
    advice: str
    """What to change."""
    fatal: bool
    """Whether nothing can come of the training as it is."""


@dataclass(frozen=True)
class Diagnosis:
    """What the evaluations say of a training."""

    status: Status
    reason: str
    """Why it is so, with figures."""
    findings: tuple[Finding, ...]
    improvement: tuple[float, float] | None
    """95 % interval of the score gained since before the first update; none for too few evaluations."""
    trend: tuple[float, float] | None
    """95 % interval of the score's change over the later half of the training, by its slope."""

    @property
    def advice(self) -> tuple[str, ...]:
        """Return what to change, most important first."""
        ordered = sorted(self.findings, key=lambda finding: not finding.fatal)
        return tuple(dict.fromkeys(finding.advice for finding in ordered))


def diagnose(points: Sequence[Checkup], config: RLConfiguration) -> Diagnosis:
    """Judge a training by its evaluations, in their order.

    It converges where the last third of the evaluations scores above the first one and the later half does not fall.
    The interval of the gain is Student's, of the last third's mean about one more draw of their spread; that of the
    trend the percentile bootstrap of the Theil-Sen slope, resamples drawn with the configuration's seed. "improving":
    the trend still rises. Numbers that are not finite, values beyond what rewards can sum to and exploding gradients
    rule it out.
    """
    scores = np.array([point.train for point in points], dtype=np.float64)
    findings = [*_numbers(points, scores), *_values(points, config), *_gradients(points), *_conduct(points)]
    fatal = next((finding for finding in findings if finding.fatal), None)
    if fatal is not None:
        return Diagnosis("not converging", fatal.what, tuple(findings), None, None)
    if len(points) < LEAST:
        reason = f"{len(points)} evaluations are too few to see a trend, {LEAST} are needed"
        return Diagnosis("too short", reason, tuple(findings), None, None)
    gained, trend = improvement(scores), slope(scores[len(scores) // 2 :], config.seed)
    status, reason, more = _judge(gained, trend)
    return Diagnosis(status, reason, (*more, *findings), gained, trend)


def diverged(error: Diverged) -> Diagnosis:
    """Return the diagnosis of a training that ended because its numbers were lost."""
    found = Finding(str(error), _STEADIER, True)
    return Diagnosis("not converging", found.what, (found,), None, None)


def warn(diagnosis: Diagnosis, episodes: int) -> None:
    """Log the warning of a training that does not converge, with its reason and what to change."""
    if diagnosis.status == "not converging":
        told = f"{diagnosis.reason}. Try: {'; '.join(diagnosis.advice)}"
        log.warning("Training not converging after %d episodes: %s", episodes, told)


def improvement(scores: Float64) -> tuple[float, float]:
    """Return the interval of what the last third scores above the first evaluation; shape (n,), n >= 6."""
    last = scores[-(len(scores) // 3) :]
    spread = float(last.std(ddof=1)) * math.sqrt(1 + 1 / len(last)) * _T[min(len(last) - 1, len(_T)) - 1]
    gain = float(last.mean() - scores[0])
    return gain - spread, gain + spread


def slope(scores: Float64, seed: int) -> tuple[float, float]:
    """Return the percentile interval of the Theil-Sen slope times the length: the change over these evaluations."""
    count = len(scores)
    rng = np.random.default_rng(seed)
    first, second = np.triu_indices(count, 1)
    slopes = []
    for _ in range(RESAMPLES):
        rows = np.sort(rng.integers(0, count, count))
        run = rows[second] - rows[first]
        if run.any():
            apart = run > 0
            slopes.append(np.median((scores[rows[second]] - scores[rows[first]])[apart] / run[apart]))
    low, high = np.quantile(slopes, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) * (count - 1)
    return float(low), float(high)


_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 1.96)
"""Student's t at 97.5 % for 1, 2, ... degrees of freedom; the last for all beyond."""


def _judge(gained: tuple[float, float], trend: tuple[float, float]) -> tuple[Status, str, list[Finding]]:
    gain = f"the score changed by {gained[0]:.4g} to {gained[1]:.4g} since before training (95 %)"
    course = f"over the later half by {trend[0]:.4g} to {trend[1]:.4g}"
    if trend[0] > 0 and gained[1] > 0:
        return "improving", f"it still improves: {gain}, {course}", [Finding("still rising", "train for longer", False)]
    if trend[1] < 0 and gained[0] <= 0:
        advice = "lower learning_rate, and check the reward function"
        return "not converging", f"it gets worse: {gain}, {course}", [Finding("the score falls", advice, False)]
    if gained[0] <= 0:
        advice = (
            "change learning_rate by a factor of 3 either way, check that the reward varies with the action and that "
            "the state holds what it depends on, increase buffer_size or the episodes"
        )
        return "not converging", f"it does not improve: {gain}", [Finding("no gain", advice, False)]
    if trend[1] < 0 and -trend[1] > 0.5 * (gained[0] + gained[1]) / 2:
        advice = "keep the best evaluation's policy, lower learning_rate"
        return "not converging", f"it loses what it gained: {gain}, {course}", [Finding("it falls", advice, False)]
    return "converged", f"{gain}, {course}", []


def _numbers(points: Sequence[Checkup], scores: Float64) -> list[Finding]:
    bad = [name for point in points for name, value in point.figures.items() if not math.isfinite(value)]
    if not np.isfinite(scores).all():
        bad.append("score")
    if not bad:
        return []
    return [Finding(f"{bad[0]} is not finite", _STEADIER, True)]


def _values(points: Sequence[Checkup], config: RLConfiguration) -> list[Finding]:
    found = []
    told = [point.figures for point in points if "q_max" in point.figures and "reward_max" in point.figures]
    if told and config.gamma < 1:
        largest, bound = told[-1]["q_max"], max(map(_earned, told)) / (1 - config.gamma)
        if largest > 2 * bound:
            advice = "lower learning_rate or tau, reduce reward_scale, or use TD3's two critics"
            found.append(Finding(f"|Q| reaches {largest:.4g}, what a step earns sums to {bound:.4g}", advice, True))
    bias = [point.q_bias for point in points if point.q_bias is not None]
    if bias and abs(bias[-1]) > 1:
        side = "above" if bias[-1] > 0 else "below"
        what = f"the critic's values lie {abs(bias[-1]):.3g} standard deviations {side} the rewards that follow"
        found.append(Finding(what, "train for longer, or lower gamma", False))
    explained = [point.figures["explained_variance"] for point in points if "explained_variance" in point.figures]
    if explained and float(np.mean(explained[-LEAST:])) < 0:
        what = f"the value function explains nothing: explained variance {np.mean(explained[-LEAST:]):.3g}"
        found.append(Finding(what, "scale rewards (reward_scale), raise n_steps, lower learning_rate", False))
    return found


def _earned(figures: Mapping[str, float]) -> float:
    """Return what a step may be worth: the largest reward, with SAC also what it is paid for entropy."""
    return figures["reward_max"] + abs(figures.get("temperature", 0.0) * figures.get("entropy", 0.0))


def _gradients(points: Sequence[Checkup]) -> list[Finding]:
    norms = np.array([point.figures["grad_norm"] for point in points if "grad_norm" in point.figures])
    if len(norms) < LEAST or not np.isfinite(norms).all():
        return []
    middle = float(np.median(norms))
    if middle == 0:
        return [Finding("the gradient is 0", "check that the reward varies with the action", True)]
    if norms[-1] > EXPLODING * middle:
        what = f"the gradient's norm is {norms[-1]:.4g}, {norms[-1] / middle:.0f} times its median"
        return [Finding(what, "set max_grad_norm, lower learning_rate", True)]
    return []


def _conduct(points: Sequence[Checkup]) -> list[Finding]:
    if not points:
        return []
    found, last = [], points[-1]
    if last.saturation > SATURATED:
        what = f"{last.saturation:.0%} of the actions lie at their bounds"
        found.append(Finding(what, "lower learning_rate, reduce reward_scale, normalize_observations", False))
    if last.turnover is not None and last.turnover > CHURN:
        what = f"it trades {last.turnover:.0%} of equity a step"
        found.append(
            Finding(what, "add a turnover penalty to the reward, or train with the costs that will be paid", False)
        )
    if last.validation is not None and points[0].validation is not None:
        gap, gain = last.validation - points[0].validation, last.train - points[0].train
        if gain > 0 and gap < 0.2 * gain:
            what = f"it gained {gain:.4g} where it learns and {gap:.4g} on data held back: it overfits"
            found.append(Finding(what, "use more data, a smaller net_arch, or fewer steps", False))
    return found
