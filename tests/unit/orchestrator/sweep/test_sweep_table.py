"""The table of a sweep and its walk-forward, over hand-made results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orchestrator.sweep.table import Sweep
from orchestrator.sweep.walk_forward import Lengths, WalkForward, Window, choose, windows
from schemas import BacktestCompleted, BacktestFailed
from streams.errors import ConfigError, DataError, MissingData
from streams.record import nanoseconds

DAYS = [f"2020-01-{day:02d}" for day in range(1, 13)]


def done(number: int, equity: list[float], digest: str = "d", first: int = 0, **metrics: Any) -> BacktestCompleted:
    """Return a completed trial over the first days of 2020."""
    return BacktestCompleted(
        job_id=f"s.{number}",
        sweep_id="s",
        number=number,
        run_id="r",
        source="file",
        data="real",
        data_sha256=digest,
        metrics={"total_return": equity[-1] / equity[0] - 1, **metrics},
        days=tuple(nanoseconds(f"{day}T21:00:00Z") for day in DAYS[first : first + len(equity)]),
        equity=tuple(equity),
        ts_event=0,
    )


def failed(number: int) -> BacktestFailed:
    """Return a trial that could not be run."""
    return BacktestFailed(job_id=f"s.{number}", sweep_id="s", number=number, error="no", error_type="X", ts_event=0)


def test_trials_are_ranked_by_the_metric_with_failures_in_the_table() -> None:
    results = [done(0, [1, 1.1]), failed(1), done(2, [1, 1.3]), done(3, [1, 1.3])]
    sweep = Sweep("total_return", [{"a": n} for n in range(4)], results)
    assert [each.number for each in sweep.ranked()] == [2, 3, 0]
    lines = sweep.csv().splitlines()
    assert lines[0].startswith("number,a,total_return,")
    assert lines[2].endswith(",no")
    assert len(lines) == 5
    assert sweep.summary()["best"] == {"number": 2, "a": 2, "total_return": pytest.approx(0.3)}
    assert sweep.summary()["failed"] == 1


def test_a_smaller_drawdown_is_better_and_an_undefined_figure_is_last() -> None:
    results = [done(0, [1, 1], max_drawdown=0.2), done(1, [1, 1]), done(2, [1, 1], max_drawdown=0.1)]
    sweep = Sweep("max_drawdown", [{"a": n} for n in range(3)], results)
    assert [each.number for each in sweep.ranked()] == [2, 0, 1]


def test_workers_that_saw_other_data_are_an_error() -> None:
    sweep = Sweep("total_return", [{"a": 1}, {"a": 2}], [done(0, [1, 2]), done(1, [1, 2], digest="other")])
    with pytest.raises(DataError, match="different data"):
        sweep.data()
    with pytest.raises(DataError, match="no trial could be run; the first failed with: no"):
        Sweep("total_return", [{"a": 1}], [failed(0)]).data()


def test_trials_that_are_all_alike_say_nothing_of_overfitting() -> None:
    equity = [1 + 0.01 * (day % 3) for day in range(12)]
    alike = Sweep("total_return", [{"a": 1}, {"a": 2}], [done(0, equity), done(1, equity)])
    assert alike.overfitting(blocks=2) is None
    other = Sweep("total_return", [{"a": 1}, {"a": 2}], [done(0, equity), done(1, equity[::-1])])
    assert other.overfitting(blocks=2) is not None


def test_the_efficiency_of_a_choice_that_lost_in_training_is_undefined() -> None:
    window = Window(DAYS[0], DAYS[3], DAYS[4], DAYS[6])
    chosen = choose(window, [{"a": 0}], [done(0, [4.0, 3, 2, 2, 1, 1, 1])], "total_return")
    assert chosen.train == pytest.approx(-0.5)
    assert WalkForward("total_return", Lengths(4, 3, 3), "file", "real", [chosen]).efficiency() is None


def test_an_unknown_metric_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="nearest is 'sharpe_ratio'"):
        Sweep("sharp_ratio", [], [])


def test_windows_train_on_the_past_and_trade_each_session_once() -> None:
    found = windows(DAYS, Lengths(4, 3, 3))
    assert found == [
        Window("2020-01-01", "2020-01-04", "2020-01-05", "2020-01-07"),
        Window("2020-01-04", "2020-01-07", "2020-01-08", "2020-01-10"),
    ]
    assert windows(DAYS, Lengths(4, 3, 3, anchored=True))[1].train_start == "2020-01-01"
    with pytest.raises(MissingData, match="takes 14 sessions, and the data has 12"):
        windows(DAYS, Lengths(10, 4, 4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train=10", "needs test"),
        ("train=10,test=1", "at least 2"),
        ("train=10,tset=5", "nearest is 'test'"),
        ("train=10,test=5,step=4", "overlap"),
    ],
)
def test_what_is_no_walk_forward_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Lengths.parse(text)


def test_the_best_in_training_is_traded_afterwards_even_where_it_loses() -> None:
    # Trial 1 doubles in training and halves in the test; trial 0 does the opposite.
    window = Window(DAYS[0], DAYS[3], DAYS[4], DAYS[6])
    rising, falling = [1.0, 1, 1, 1, 2, 2, 2], [1.0, 1, 1, 2, 1, 1, 1]
    chosen = choose(window, [{"a": 0}, {"a": 1}], [done(0, rising), done(1, falling)], "total_return")
    assert (chosen.number, chosen.changes) == (1, {"a": 1})
    assert chosen.train == pytest.approx(1.0)
    assert chosen.test == pytest.approx(-0.5)
    assert chosen.returns == pytest.approx((-0.5, 0.0, 0.0))
    later = Window(DAYS[3], DAYS[6], DAYS[7], DAYS[9])
    again = choose(later, [{"a": 0}], [done(0, rising, first=3)], "total_return")
    both = WalkForward("total_return", Lengths(4, 3, 3), "file", "real", [chosen, again])
    assert both.metrics()["total_return"] == pytest.approx(0.5 * 2 - 1)
    assert both.efficiency() == pytest.approx((-0.5 + 1.0) / (1.0 + 0.0))


def test_what_comes_after_training_does_not_change_the_choice() -> None:
    window = Window(DAYS[0], DAYS[3], DAYS[4], DAYS[6])
    base = np.random.default_rng(1).uniform(1, 2, (2, 7))
    changed = base.copy()
    changed[:, 4:] = changed[::-1, 4:] * 3
    picks = [
        choose(window, [{"a": 0}, {"a": 1}], [done(0, list(each[0])), done(1, list(each[1]))], "total_return").number
        for each in (base, changed)
    ]
    assert picks[0] == picks[1]
