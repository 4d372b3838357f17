"""The probability of backtest overfitting, against the definition written out in loops."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from agents.metrics import overfitting
from agents.metrics.overfitting import probability_of_overfitting
from streams.errors import InvalidData


def by_definition(returns: np.ndarray, blocks: int) -> list[float]:
    """Return the logits by splitting, choosing and ranking one split after the other."""
    parts = np.split(returns, blocks)
    logits = []
    for chosen in combinations(range(blocks), blocks // 2):
        first = np.concatenate([parts[i] for i in chosen])
        second = np.concatenate([parts[i] for i in range(blocks) if i not in chosen])
        best = int(np.argmax(first.mean(axis=0) / first.std(axis=0, ddof=1)))
        later = second.mean(axis=0) / second.std(axis=0, ddof=1)
        relative = (np.sum(later < later[best]) + 1) / (returns.shape[1] + 1)
        logits.append(math.log(relative / (1 - relative)))
    return logits


def test_logits_are_those_of_the_definition() -> None:
    returns = np.random.default_rng(5).normal(0.0002, 0.01, (96, 7))
    found = probability_of_overfitting(returns, blocks=8)
    assert found.logits == pytest.approx(by_definition(returns, 8))
    assert len(found.logits) == math.comb(8, 4)
    assert found.probability == np.mean(found.logits <= 0)


def test_many_trials_are_worked_on_in_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = np.random.default_rng(9).normal(0.0002, 0.01, (96, 7))
    whole = probability_of_overfitting(returns, blocks=8)
    monkeypatch.setattr(overfitting, "_AT_ONCE", 20)
    parts = probability_of_overfitting(returns, blocks=8)
    assert parts.logits == pytest.approx(whole.logits)
    assert (parts.probability, parts.loss_probability) == (whole.probability, whole.loss_probability)
    assert parts.slope == pytest.approx(whole.slope)


def test_a_trial_with_real_skill_is_not_overfitted() -> None:
    returns = np.random.default_rng(6).normal(0, 0.01, (512, 10))
    returns[:, 4] += 0.01
    found = probability_of_overfitting(returns)
    assert found.probability == 0
    assert found.loss_probability == 0


def test_trials_without_skill_are_overfitted_half_the_time() -> None:
    found = [
        probability_of_overfitting(np.random.default_rng(seed).normal(0, 0.01, (320, 40)), 10) for seed in range(40)
    ]
    assert np.mean([each.probability for each in found]) == pytest.approx(0.5, abs=0.1)


def test_what_wins_first_and_loses_later_is_overfitted() -> None:
    # Each trial is good in one block and bad in all others: whoever shines in one half fails in the other.
    returns = np.random.default_rng(7).normal(0, 0.001, (80, 8)) - 0.001
    for trial in range(8):
        returns[trial * 10 : (trial + 1) * 10, trial] += 0.02
    found = probability_of_overfitting(returns, blocks=8)
    assert found.probability == 1
    assert found.slope < 0


def test_a_trial_that_never_trades_has_the_ratio_zero() -> None:
    returns = np.random.default_rng(8).normal(-0.002, 0.001, (64, 3))
    returns[:, 1] = 0.0
    found = probability_of_overfitting(returns, blocks=4)
    assert found.probability == 0
    assert found.logits == pytest.approx(math.log((3 / 4) / (1 / 4)))


@pytest.mark.parametrize(("shape", "blocks"), [((100, 1), 4), ((100, 3), 5), ((7, 3), 4), ((100, 3), 0)])
def test_too_little_to_tell_is_refused(shape: tuple[int, int], blocks: int) -> None:
    with pytest.raises(InvalidData, match="expected at least 2 trials"):
        probability_of_overfitting(np.zeros(shape), blocks)
