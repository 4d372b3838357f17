"""Actors and a learner that meet on a broker, in memory and on a real Kafka."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl import checkpoint
from rl.learner import Learner
from rl.learning import OffPolicyLearning, OnPolicyLearning
from rl.policy import Policy
from rl.replay import Replay
from rl.streaming import Streaming, learner_task
from rl.training import Progress
from schemas import TransitionsRecorded
from streams.broker import Broker
from streams.errors import ConfigError, Fenced, InvalidData, MissingData
from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.memory_broker import MemoryBroker
from streams.record import TopicPartition
from streams.topics import TRANSITIONS
from tests.training import LAYOUT, LOCK_STEP, SMALL, World, chunk, plan, record, rows, until, world


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
async def there(request: pytest.FixtureRequest, prefix: str, tmp_path: Path) -> AsyncIterator[World]:
    made: Broker = MemoryBroker()
    if request.param == "kafka":
        made = KafkaBroker(KafkaOptions(request.getfixturevalue("kafka_bootstrap"), prefix=prefix))
    await made.start()
    async with world(made, tmp_path) as found:
        yield found
    await made.stop()


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(MemoryBroker(), tmp_path) as found:
        yield found


def ring(learner: Learner) -> Replay:
    assert isinstance(learner.state.learning, OffPolicyLearning)
    return learner.state.learning.replay


def made_of(chunks: Sequence[TransitionsRecorded], capacity: int) -> str:
    """Return the digest of a ring that these chunks went into."""
    made = Replay(capacity, LAYOUT, 0)
    for each in chunks:
        made.add(np.frombuffer(each.rows, "<f4").reshape(-1, LAYOUT.width))
    return made.digest()


def weights(learner: Learner) -> str:
    return hashlib.sha256(learner.policy().pack()).hexdigest()


async def test_a_learner_and_its_actor_meet(there: World) -> None:
    planned = plan(steps=200)
    learner = await there.trained(planned, "a")
    # What the actor did before it was told to stop counts no more.
    chunks, policies = (await there.chunks())[:10], await there.policies()
    # A broker that fails for a moment makes the actor start anew, in an epoch that counts from 0 again.
    for epoch in sorted({each.epoch for each in chunks}):
        own = [each.sequence for each in chunks if each.epoch == epoch]
        assert own == list(range(len(own)))
    assert learner.state.intake.counts == {"taken": 10}
    assert ring(learner).digest() == made_of(chunks, SMALL["buffer_size"])
    assert learner.state.algorithm.updates == 200 - SMALL["learning_starts"]
    assert [each.version for each in policies] == list(range(1, len(policies) + 1))
    assert [each.metadata["updates"] for each in policies] == [*range(0, 160, 10), 160]
    last, _ = Policy.unpack(policies[-1].weights, policies[-1].sha256)
    np.testing.assert_array_equal(last.layers[0][0], learner.policy().layers[0][0])
    # Random before learning starts; then, in lock-step, by what was learned from the chunk before: two versions of it.
    learned = [0, 0, *range(1, 16, 2)]
    late = [newest - each.policy_version for newest, each in zip(learned, chunks, strict=True)]
    # Kafka tells of a commit a moment before it shows what was committed.
    assert set(late) <= ({0, 1} if isinstance(there.broker, KafkaBroker) else {0}), late


async def test_the_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    runs = []
    for name in ("first", "second"):
        async with world(MemoryBroker(), tmp_path / name) as found:
            learner = await found.trained(plan(steps=200), "a")
            runs.append(([each.sha256 for each in await found.policies()], ring(learner).digest(), weights(learner)))
    assert runs[0] == runs[1]


async def test_each_chunk_counts_once_and_bad_ones_are_set_aside(there: World) -> None:
    good = [chunk(n, first=20 * n) for n in range(3)]
    nan = rows(20)
    nan[0, 0, 0] = np.nan
    said = [
        good[0],
        good[0],
        chunk(0, epoch=0),
        good[1],
        chunk(2, rows=nan),
        chunk(2, observation_size=7),
        chunk(0, training_id="another"),
        good[2],
        good[1],
    ]
    await there.broker.publish([record(each) for each in said])
    await there.broker.publish([replace(record(good[0]), value=b"no avro")])
    await there.broker.publish([record(chunk(3, first=60))])
    learner = there.learner(plan(steps=80, config={"learning_starts": 1000}))
    await learner.run(asyncio.Event())
    assert learner.state.intake.counts == {"taken": 4, "duplicate": 2, "superseded": 1, "malformed": 3}
    assert ring(learner).digest() == made_of([*good, chunk(3, first=60)], SMALL["buffer_size"])
    letters = sorted(await there.letters())
    assert [any(part in letter for letter in letters) for part in ("framing", "not finite", "sizes (7, 2)")] == [
        True
    ] * 3
    assert len(letters) == 3
    again = there.learner(plan(steps=80, config={"learning_starts": 1000}), resume=True)
    await again.run(asyncio.Event())
    assert ring(again).digest() == ring(learner).digest()
    assert again.state.intake.counts == learner.state.intake.counts
    assert len(await there.letters()) == 3


class Crash(Exception):
    """Stands for the end of a process: nothing is written after it."""


async def crashed_at(learner: Learner, transitions: int) -> None:
    def at(progress: Progress) -> None:
        if progress.steps >= transitions:
            raise Crash

    learner.on_progress = at
    with pytest.raises(Crash):
        await learner.run(asyncio.Event())


async def stopped_at(learner: Learner, transitions: int) -> None:
    stop = asyncio.Event()
    learner.on_progress = lambda progress: stop.set() if progress.steps >= transitions else None
    await learner.run(stop)
    assert not learner.state.done


@pytest.mark.parametrize("config", [{}, {"prioritized": True}, {"normalize_observations": True}, {"algorithm": "SAC"}])
async def test_a_learner_that_crashed_goes_on_as_if_it_had_not(tmp_path: Path, config: dict[str, Any]) -> None:
    said = [record(chunk(n, actor_id=name, first=300 * k + 20 * n)) for n in range(8) for k, name in enumerate("abc")]
    ends = []
    planned = plan(steps=480, config=config)
    for name in ("whole", "parts"):
        async with world(MemoryBroker(), tmp_path / name) as found:
            await found.broker.publish(said)
            if name == "parts":
                await stopped_at(found.learner(planned), 200)
                await crashed_at(found.learner(planned, resume=True), 340)
            learner = found.learner(planned, resume=True)
            await learner.run(asyncio.Event())
            versions = [each.version for each in await found.policies()]
            assert versions == list(range(1, len(versions) + 1)), "a version was used twice"
            positions = await found.broker.committed(
                learner_task("t"), [TopicPartition(TRANSITIONS.name, p) for p in range(4)]
            )
            ends.append((ring(learner).digest(), weights(learner), positions, learner.state.intake.state()))
    assert ends[0] == ends[1]


async def test_a_training_is_not_begun_twice_by_accident(here: World) -> None:
    await here.broker.publish([record(chunk(0))])
    await here.learner(plan(steps=20)).run(asyncio.Event())
    with pytest.raises(ConfigError, match="was begun before"):
        await here.learner(plan(steps=20)).run(asyncio.Event())
    with pytest.raises(InvalidData, match="begun as"):
        await here.learner(plan(steps=20, config={"gamma": 0.5}), resume=True).run(asyncio.Event())


async def test_a_log_that_is_not_the_one_learned_from_is_said(here: World) -> None:
    await here.broker.publish([record(chunk(n, first=20 * n)) for n in range(4)])
    await here.learner(plan(steps=40)).run(asyncio.Event())
    folder = here.folder / "t"
    arrays, told = checkpoint.load(folder)
    told["segments"][0][4] = "0" * 64
    checkpoint.save(folder, "other", arrays, told)
    with pytest.raises(InvalidData, match="the topic is not the one that it was"):
        await here.learner(plan(steps=80), resume=True).run(asyncio.Event())


async def test_a_checkpoint_that_is_too_old_is_said(here: World) -> None:
    await here.broker.publish([record(chunk(n, first=20 * n)) for n in range(6)])
    await here.learner(plan(steps=40)).run(asyncio.Event())
    folder = here.folder / "t"
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    await here.learner(plan(steps=80), resume=True).run(asyncio.Event())
    await crashed_at(here.learner(plan(steps=200), resume=True), 100)
    for path in folder.iterdir():
        path.unlink()
    for name, data in kept.items():
        (folder / name).write_bytes(data)
    with pytest.raises(MissingData, match="older than another one"):
        await here.learner(plan(steps=200), resume=True).run(asyncio.Event())


async def test_of_two_learners_one_is_fenced(there: World) -> None:
    planned = plan(steps=10_000)
    first, stop = there.learner(planned), asyncio.Event()
    async with there.acting(planned, "a"):
        running = asyncio.create_task(first.run(stop))
        await until(lambda: first.state.version > 1)
        second = there.learner(plan(steps=10_000), resume=True)
        after = asyncio.create_task(second.run(stop))
        # The first, unless Kafka has it not know how a commit ended: then it takes the training back.
        await asyncio.wait([running, after], return_when=asyncio.FIRST_COMPLETED)
        fenced, kept = (running, second) if running.done() else (after, first)
        with pytest.raises(Fenced):
            await fenced
        seen = max(first.state.version, second.state.version)
        await until(lambda: kept.state.version > seen + 2 or (running.done() and after.done()))
        stop.set()
        await asyncio.gather(running, after, return_exceptions=True)
    versions = [each.version for each in await there.policies()]
    assert versions == list(range(1, len(versions) + 1))
    assert ring(kept).inserted == 20 * kept.state.intake.counts["taken"]
    assert set(kept.state.intake.counts) == {"taken"}


async def test_of_two_actors_of_a_name_one_is_fenced(there: World) -> None:
    planned = plan(steps=10_000)
    learner, stop = there.learner(planned), asyncio.Event()
    learning = asyncio.create_task(learner.run(stop))
    first, second = there.actor(planned), there.actor(planned)
    acting = asyncio.create_task(first.run(asyncio.Event()))
    await until(lambda: first.transitions >= 40)
    after = asyncio.create_task(second.run(stop))
    with pytest.raises(Fenced):
        await acting
    await until(lambda: second.transitions >= 40)
    stop.set()
    await asyncio.gather(after, learning)
    chunks = await there.chunks()
    epochs = sorted({each.epoch for each in chunks})
    assert len(epochs) == 2
    for epoch in epochs:
        mine = [each.sequence for each in chunks if each.epoch == epoch]
        assert mine == list(range(len(mine)))
    assert set(learner.state.intake.counts) == {"taken"}


class Looked(MemoryBroker):
    """Counts how often an actor has looked at how far the learner is."""

    looks = 0

    async def committed(self, task_id: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        self.looks += 1
        return await super().committed(task_id, partitions)


async def test_an_actor_waits_for_the_learner(tmp_path: Path) -> None:
    broker = Looked()
    async with world(broker, tmp_path) as found:
        planned = plan(streaming=Streaming(chunk_transitions=20, chunks_ahead=2), steps=200)
        async with found.acting(planned, "a", "b") as actors:
            await until(lambda: all(actor.transitions == 60 for actor in actors))
            looked = broker.looks
            await until(lambda: broker.looks > looked + 6)
            assert [actor.transitions for actor in actors] == [60, 60]
            most = 0

            def seen(progress: Progress) -> None:
                nonlocal most
                most = max(most, sum(actor.transitions for actor in actors) - progress.steps)

            learner = found.learner(planned, on_progress=seen)
            await learner.run(asyncio.Event())
            assert learner.state.done
            assert most <= 2 * 60, "more chunks waited than chunks_ahead allows"


async def test_a_chunk_of_a_policy_that_is_too_old_is_left_out(here: World) -> None:
    streaming = LOCK_STEP.model_copy(update={"max_policy_lag": 3})
    said = [chunk(n, first=20 * n) for n in range(5)]
    stale, recent = chunk(5, policy_version=1, first=100), chunk(6, policy_version=6, first=120)
    await here.broker.publish([record(each) for each in [*said, stale, recent]])
    learner = here.learner(plan(steps=120, streaming=streaming))
    await learner.run(asyncio.Event())
    assert learner.state.intake.counts == {"taken": 6, "stale": 1}
    assert ring(learner).digest() == made_of([*said, recent], SMALL["buffer_size"])


ON_POLICY = {"algorithm": "PPO", "n_steps": 15, "batch_size": 30, "n_epochs": 2}


async def test_on_policy_learning_takes_whole_rollouts_of_the_present_policy(there: World) -> None:
    planned = plan(config=ON_POLICY, actors=2, steps=300)
    learner = await there.trained(planned, "a", "b")
    chunks, policies = await there.chunks(), await there.policies()
    assert isinstance(learner.state.learning, OnPolicyLearning)
    by_version: dict[tuple[int, str], int] = {}
    for each in chunks:
        steps = len(each.rows) // (4 * LAYOUT.width * each.environments)
        by_version[each.policy_version, each.actor_id] = by_version.get((each.policy_version, each.actor_id), 0) + steps
    used = [version for version, _ in by_version]
    complete = [version for version in sorted(set(used)) if version < policies[-1].version]
    assert complete == list(range(1, policies[-1].version))
    assert all(by_version[version, actor] == 15 for version in complete for actor in "ab")
    # Each update: 2 epochs of 2 * 15 * 2 transitions in batches of 30.
    assert [each.metadata["updates"] for each in policies] == [4 * n for n in range(len(policies))]


async def test_rollouts_of_another_version_are_left_out(here: World) -> None:
    planned = plan(config={**ON_POLICY, "n_steps": 10}, steps=20)
    await here.broker.publish([record(chunk(0, policy_version=9)), record(chunk(1, policy_version=1))])
    learner = here.learner(planned)
    await learner.run(asyncio.Event())
    assert learner.state.intake.counts == {"taken": 1, "stale": 1}
    assert learner.state.algorithm.updates > 0


async def test_on_policy_learning_goes_on_after_a_crash(here: World) -> None:
    planned = plan(config=ON_POLICY, actors=1, steps=200)
    first = here.learner(planned)
    async with here.acting(planned, "a"):
        await crashed_at(first, 90)
        second = here.learner(planned, resume=True)
        await second.run(asyncio.Event())
    versions = [each.version for each in await here.policies()]
    assert versions == list(range(1, len(versions) + 1))
    assert second.state.algorithm.updates > 0


async def test_a_policy_that_does_not_fit_a_record_is_refused(here: World) -> None:
    with pytest.raises(ConfigError, match="choose a smaller net_arch"):
        await here.learner(plan(config={"net_arch": (512, 512)})).run(asyncio.Event())
