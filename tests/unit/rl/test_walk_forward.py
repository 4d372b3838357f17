"""Studies: their rounds, their tables by hand, and that the same study gives the same figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rl.evaluation import Evaluation
from rl.walk_forward import Comparison, Outcome, Study, compare, growth, table, train
from schemas.columns import Float64
from streams.errors import ConfigError, MissingData

DAY = 86_400 * 10**9
A2C: dict[str, Any] = {"algorithm": "a2c", "num_envs": 4, "net_arch": [8], "reward_scale": 100}
SMALL: dict[str, Any] = {
    "data": {"providers": ["sp500"], "symbols": ["AAPL", "KO"], "start": "1991-01-02", "end": "1994-12-30"},
    "rules": {"fill": "next_close", "episode_steps": 100},
    "algorithms": [A2C],
    "steps": 200,
    "walk_forward": {
        "train_years": 1, "validation_years": 1, "test_years": 1, "seeds": 2, "costs_bps": [10, 25], "looks": 2,
    },
}  # fmt: skip


def outcome(name: str, fold: int, seed: int | None, changes: Float64, bps: float = 10.0) -> Outcome:
    equity = 100 * np.cumprod(np.concatenate([[1.0], 1 + changes]))
    nought = np.zeros(len(changes))
    times = np.arange(len(equity)) * DAY
    spans = Evaluation(times, equity, nought, np.full(len(changes), 0.01), nought, nought[:, np.newaxis])
    return Outcome(name, fold, bps, seed, spans, None if seed is None else "converged")


def study(**changes: Any) -> Study:
    return Study.of(SMALL | changes)


def outcomes(gain: float) -> list[Outcome]:
    """A2C earns what buy and hold earns on each day, and gain more."""
    rng = np.random.default_rng(1)
    days = [rng.normal(0.0004, 0.01, 500) for _ in range(2)]
    noise = [rng.normal(0, 1e-5, (2, 500)) for _ in range(2)]
    learned = [
        outcome("A2C", fold, seed, days[fold] + gain + noise[fold][seed]) for fold in range(2) for seed in range(2)
    ]
    rules = ("buy and hold", "equal weight", "minimum variance")
    return [*learned, *(outcome(name, fold, None, days[fold]) for name in rules for fold in range(2))]


def test_spans_follow_one_another_in_the_growth() -> None:
    own = [outcome("A2C", 1, 0, np.array([0.03])), outcome("A2C", 0, 0, np.array([0.01, 0.02]))]
    assert growth(own) == pytest.approx(np.array([[0.01, 0.02, 0.03]]))


def test_a_line_by_hand() -> None:
    changes = np.tile([0.02, -0.01], 126)
    one = study(walk_forward=SMALL["walk_forward"] | {"costs_bps": [10]})
    (line,) = table(one, [outcome("buy and hold", 0, None, changes)])
    assert line.annual_return == pytest.approx((1.02 * 0.99) ** 126 - 1)
    assert line.max_drawdown == pytest.approx(0.01)
    assert line.turnover == pytest.approx(2.52)
    assert line.sharpe == pytest.approx(changes.mean() / changes.std(ddof=1) * 252**0.5)
    assert line.interval is None
    assert line.converged is None


@pytest.mark.parametrize(
    ("gain", "verdict"), [(0.0005, "wins"), (-0.0005, "loses"), (0.0, "no difference shown")]
)  # 13 % a year up, down, none
def test_the_verdict_is_plain(gain: float, verdict: str) -> None:
    one = study(walk_forward=SMALL["walk_forward"] | {"costs_bps": [10]})
    found = compare(one, outcomes(gain))
    assert {each.baseline for each in found} == {"buy and hold", "equal weight", "minimum variance"}
    assert {each.verdict for each in found} == {verdict}
    assert found[0].excess == pytest.approx(gain * 252, abs=2e-3)


def test_a_lucky_stretch_is_no_win() -> None:
    """Seeds that agree say nothing where the days do not."""
    found = Comparison("A2C", "buy and hold", 10, 0.2, (0.1, 0.3), 0.05, (-0.02, 0.12))
    assert found.verdict == "no difference shown"


def test_a_training_is_judged_after_what_it_saw_and_repeats_itself() -> None:
    small = study()
    tasks = small.tasks()
    assert len(tasks) == 2 * 2 * 2  # costs, rounds, seeds
    assert [task.config.seed for task in tasks[:2]] == [0, 1]
    first, again, dear = train(small, tasks[0]), train(small, tasks[0]), train(small, tasks[4])
    span = small.splits[0].test.panel
    assert (span.session_dates[0][:4], span.session_dates[-1][:4]) == ("1993", "1993")
    assert np.array_equal(first.evaluation.equity, again.evaluation.equity)
    assert np.array_equal(first.evaluation.times, span.times)
    assert (dear.bps, first.bps) == (25.0, 10.0)
    assert small.rules_at(25.0).costs.commission_rate == 0.0025


def test_what_makes_no_study_is_refused() -> None:
    with pytest.raises(ConfigError, match="each algorithm once, got A2C, A2C"):
        study(algorithms=[A2C, A2C])
    with pytest.raises(ConfigError, match="'walk_forwards', nearest is 'walk_forward'"):
        study(walk_forwards={})
    with pytest.raises(MissingData, match="one split takes 6"):
        study(walk_forward={"train_years": 3, "validation_years": 1, "test_years": 2}).tasks()
