"""A training's learning curve as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rl.curve import Curve
from rl.diagnosis import Checkup

SMOOTHED = 50
"""Points of the curve that its running mean is taken over, at most."""
_EPISODES, _TRAIN, _VALIDATION = "#7f8c9b", "#1f5fa8", "#c2571a"


def learning_curve(curve: Curve, points: Sequence[Checkup], told: Mapping[str, Any], path: Path) -> None:
    """Draw rewards of episodes, and scores of the evaluations, by environment steps; told: the training's result."""
    # Here, because only this needs it and it is slow to import.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _episodes(above, curve)
    above.set_ylabel("reward of an episode")
    above.legend(loc="best", frameon=False)
    steps = [point.steps for point in points]
    below.plot(steps, [point.train for point in points], "o-", ms=3, color=_TRAIN, label="training part")
    held = [np.nan if point.validation is None else point.validation for point in points]
    below.plot(steps, held, "s-", ms=3, color=_VALIDATION, label="validation part")
    chosen = told["convergence"]["chosen_at_step"]
    below.axvline(chosen, color=_VALIDATION, lw=1, ls=":", label=f"kept: the policy at step {chosen:,}")
    below.set_ylabel("mean reward of a step,\nwithout exploring")
    below.set_xlabel("environment steps")
    below.legend(loc="best", frameon=False)
    for axes in (above, below):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(_title(told), fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def _episodes(axes: Any, curve: Curve) -> None:
    steps = np.array([point[0] for point in curve.points])
    rewards = np.array([point[1] for point in curve.points])
    axes.plot(steps, rewards, ".", ms=3, color=_EPISODES, alpha=0.6, label="episodes, while exploring")
    # Environments that run in step end their episodes at the same step.
    ended, which = np.unique(steps, return_inverse=True)
    means = np.bincount(which, rewards) / np.bincount(which)
    wide = min(SMOOTHED, max(len(ended) // 10, 1))
    smooth = np.convolve(means, np.ones(wide) / wide, "valid")
    label = "their mean" if wide == 1 else f"their mean, over {wide} steps at which some ended"
    axes.plot(ended[wide - 1 :], smooth, color=_TRAIN, label=label)


def _title(told: Mapping[str, Any]) -> str:
    symbols, reward = told["symbols"], told["reward"]
    if isinstance(reward, Mapping):
        reward = " + ".join(f"{(own or {}).get('weight', 1):g} {name}" for name, own in reward.items())
    names = ", ".join(symbols) if len(symbols) <= 6 else f"{len(symbols)} instruments"
    train = told["periods"]["train"]
    return (
        f"{told['algorithm']} on {names}, {train['start']} to {train['end']}, reward {reward}\n"
        f"{told['source']} ({told['data']} data), seed {told['seed']}, config {told['config_sha256'][:12]}: "
        f"{told['convergence']['status']}"
    )
