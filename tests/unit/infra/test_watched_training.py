"""What is seen of a training whose actors are processes: looks that are due are done before it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from infra.training.learning import Watched
from rl.job import TrainingJob
from rl.notes import Notes
from rl.rewards import TurnoverPenalty
from rl.training import Progress
from tests.policies import random_policy

JOB = {
    "name": "seen",
    "data": {"symbols": ["AAPL", "GOOGL"], "start": "2012-01-03", "end": "2012-12-31"},
    "steps": 100,
    "evaluations": 2,
}


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(TrainingJob.of({**JOB, "folder": str(tmp_path)}))


async def test_a_look_that_is_due_at_the_end_is_finished_and_done_once(notes: Notes) -> None:
    watched = Watched(notes, show=lambda: None)
    market, rules = notes.job.market, notes.job.rules
    watched.policy = lambda: random_policy(market, rules, 1, hidden=(8,))
    looking = asyncio.create_task(watched.look())
    for steps in (50, 100):
        watched(Progress(steps, 0, steps, (), {}))
    watched.end()
    await looking
    assert [point.steps for point in notes.examination.points] == [50]


def test_a_reward_that_is_handed_over_is_named_and_not_the_jobs(notes: Notes) -> None:
    own = Notes(notes.job, TurnoverPenalty())
    assert own.outcome().provenance()["reward"] == "rl.rewards.TurnoverPenalty"
    assert notes.outcome().provenance()["reward"] == "log_return"
