"""`finagent actor`: a process that feeds a learner over a real Kafka, and stops when it is asked to."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rl.job import TrainingJob
from rl.learner import Learner
from rl.learner_state import Plan
from rl.rows import Layout
from rl.streaming import create_topics
from streams.clock import WallClock
from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.redis_store import RedisStore
from tests.training import until

JOB = """
name: over-kafka
data: {symbols: [AAPL, GOOGL], start: 2010-01-04, end: 2012-12-31}
config: {algorithm: TD3, net_arch: [16], num_envs: 4, learning_starts: 100, batch_size: 32}
steps: 600
actors: 1
streaming: {chunk_transitions: 100, publish_every: 50}
"""


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "infra.cli", "actor", *words]


def started(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command("job.yaml", *options), cwd=folder, stderr=subprocess.PIPE)


@pytest.mark.kafka
@pytest.mark.redis
async def test_an_actor_feeds_a_learner(kafka_bootstrap: str, redis_url: str, prefix: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    job = TrainingJob.load(tmp_path / "job.yaml")
    broker, store = KafkaBroker(KafkaOptions(kafka_bootstrap, prefix=prefix)), RedisStore(redis_url, prefix=prefix)
    await broker.start()
    await store.start()
    await create_topics(broker, 4)
    options = ("--actor-id", "one", "--kafka", kafka_bootstrap, "--redis", redis_url, "--prefix", prefix)
    actor = started(tmp_path, *options)
    try:
        envs = await asyncio.to_thread(job.environments)
        low = np.asarray(envs.single_action_space.low)  # type: ignore[attr-defined]
        high = np.asarray(envs.single_action_space.high)  # type: ignore[attr-defined]
        layout = Layout(envs.single_observation_space.shape[0], len(low))  # type: ignore[index]
        plan = Plan(job.training_id, job.config, layout, low, high, steps=job.steps, streaming=job.streaming)
        learner = Learner(broker, plan, tmp_path / "learner", WallClock())
        seen: list[str] = []

        async def beating() -> None:
            while not seen:
                seen.extend(await store.scan("task:rl.actor"))
                await asyncio.sleep(0.1)

        await asyncio.gather(learner.run(asyncio.Event()), beating())
        assert learner.state.learning.transitions >= 600
        assert learner.state.version > 1
        actor.send_signal(signal.SIGTERM)
        await until(lambda: actor.poll() is not None)
        assert actor.returncode == 0
        assert actor.stderr is not None
        assert b"actor one has stopped after" in actor.stderr.read()
        assert not await store.scan("task:rl.actor"), "it went away without a word"
    finally:
        actor.kill()
        actor.wait()
        assert actor.stderr is not None
        actor.stderr.close()
        for name in await store.scan(""):
            await store.delete(name)
        await store.stop()
        await broker.stop()


def test_an_actor_needs_kafka_and_a_name_that_fits(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    for words, reason in ((("--actor-id", "one"), b"needs Kafka"), (("--actor-id", "a/b", "--kafka", "x:1"), b"'a/b'")):
        found = subprocess.run(command("job.yaml", *words), cwd=tmp_path, capture_output=True, check=False)
        assert found.returncode != 0
        assert reason in found.stderr
