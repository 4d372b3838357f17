"""Actors and learners that are killed with SIGKILL on a real Kafka."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rl.learner import Learner
from rl.streaming import learner_task
from rl.training import Progress
from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.record import TopicPartition
from streams.topics import TRANSITIONS
from tests.integration.training_process import PLAN, prefix_digest
from tests.services import KAFKA_VARIABLE
from tests.training import PARTITIONS, World, until, world

pytestmark = pytest.mark.kafka
PLACES = [TopicPartition(TRANSITIONS.name, partition) for partition in range(PARTITIONS)]


@pytest.fixture
async def there(kafka_bootstrap: str, prefix: str, tmp_path: Path) -> AsyncIterator[World]:
    broker = KafkaBroker(KafkaOptions(kafka_bootstrap, prefix=prefix))
    await broker.start()
    async with world(broker, tmp_path) as found:
        yield found
    await broker.stop()


class Killed:
    """A process that runs until it is killed; its lines are kept."""

    def __init__(self, role: str, found: World, bootstrap: str, prefix: str) -> None:
        command = [sys.executable, "-m", "tests.integration.training_process", role, prefix, str(found.folder)]
        self._log = (found.folder / f"{role}.out").open("ab+")
        self._begin = self._log.seek(0, os.SEEK_END)
        environment = {**os.environ, KAFKA_VARIABLE: bootstrap}
        self._process = subprocess.Popen(command, stdout=self._log, env=environment)

    def lines(self) -> list[str]:
        """Return the whole lines so far."""
        self._log.seek(self._begin)
        return self._log.read().decode().rpartition("\n")[0].splitlines()

    def kill(self) -> list[str]:
        """End it with SIGKILL; return its lines."""
        assert self._process.poll() is None, "it ended by itself"
        self._process.kill()
        self._process.wait()
        found = self.lines()
        self._log.close()
        return found


@asynccontextmanager
async def stopping(learner: Learner, enough: Callable[[], bool]) -> AsyncIterator[None]:
    """Run a learner beside the block, and on until it is enough."""
    stop = asyncio.Event()
    running = asyncio.create_task(learner.run(stop))
    yield
    await until(lambda: enough() or running.done())
    stop.set()
    await running


async def test_a_killed_learner_goes_on_where_it_was(there: World, kafka_bootstrap: str, prefix: str) -> None:
    said: list[str] = []
    async with there.acting(PLAN, "a", "b", "c"):
        for commits in (15, 8):
            learner = Killed("learner", there, kafka_bootstrap, prefix)
            await until(lambda learner=learner, commits=commits: len(learner.lines()) >= commits, 60)  # type: ignore[misc]
            said += learner.kill()
        settled = await there.broker.committed(learner_task("t"), PLACES)
        resumed, first = there.learner(PLAN, resume=True), list[int]()

        def told(progress: Progress) -> None:
            first.append(progress.steps)

        resumed.on_progress = told
        async with stopping(resumed, lambda: len(first) > 3):
            pass
    told_before = {int(line.split()[0]): line.split()[1] for line in said}
    assert len(told_before) >= 12
    for transitions, digest in told_before.items():
        assert prefix_digest(resumed, transitions) == digest, f"after {transitions} another order"
    assert first[0] >= max(told_before), "it went back"
    assert all(at >= settled[place] for place, at in (await there.broker.committed(learner_task("t"), PLACES)).items())
    versions = [each.version for each in await there.policies()]
    assert versions == sorted(set(versions)), "a version was used twice"
    assert set(resumed.state.intake.counts) == {"taken"}


async def test_a_killed_actor_starts_anew_and_each_chunk_counts_once(
    there: World, kafka_bootstrap: str, prefix: str
) -> None:
    learner, counts = there.learner(PLAN), list[int]()
    learner.on_progress = lambda progress: counts.append(progress.steps)
    async with stopping(learner, lambda: counts[-1] >= enough):
        for _ in range(3):
            actor, before = Killed("actor", there, kafka_bootstrap, prefix), counts[-1] if counts else 0
            await until(lambda before=before: bool(counts) and counts[-1] > before + 100, 60)  # type: ignore[misc]
            actor.kill()
        enough = 20 * len(await there.chunks())
    chunks = await there.chunks()
    epochs = sorted({each.epoch for each in chunks})
    assert len(epochs) == 3
    names = [(each.epoch, each.sequence) for each in chunks]
    assert names == [(epoch, n) for epoch in epochs for n in range(sum(each.epoch == epoch for each in chunks))]
    assert learner.state.intake.counts == {"taken": len(chunks)}
    assert learner.state.learning.transitions == sum(len(each.rows) for each in chunks) // (4 * PLAN.layout.width)
