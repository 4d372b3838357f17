"""`finagent actor`: one actor of a training over Kafka as a process of its own."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.connection import PATIENCE_S, connected, make_topics, memory, speaking
from infra.cli.exits import task_failed
from infra.cli.options import Config, Kafka, Prefix, Redis, need_kafka, need_rl, settings_of
from infra.cli.stopping import until_stopped
from orchestrator.heartbeat import beat_process
from orchestrator.load import MemoryWatch
from orchestrator.settings import Settings
from orchestrator.wiring import partitions_of
from streams.clock import WallClock
from streams.errors import ConfigError

log = logging.getLogger("finagent.cli")


def actor(
    job: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="The training, as for `finagent train`.")],
    actor_id: Annotated[str, typer.Option(help="Its name: one process acts under a name, a later one takes it over.")],
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    prefix: Prefix = None,
) -> None:
    """Step the environments of a training by its newest policy, for the learner on Kafka, until SIGTERM or Ctrl-C."""
    settings = settings_of(config, kafka, redis, prefix)
    need_kafka(settings)
    need_rl(settings)
    until_stopped(lambda stop: _act(settings, job, actor_id, stop))


async def _act(settings: Settings, path: Path, actor_id: str, stop: asyncio.Event) -> None:
    from rl.actor import Actor
    from rl.job import TrainingJob
    from rl.streaming import ACTOR, ID, create_topics
    from streams.topics import TRANSITIONS

    if not re.fullmatch(ID, actor_id):
        raise ConfigError(f"--actor-id is {actor_id!r}, expected letters, digits, dots, dashes and underscores")
    job, clock = TrainingJob.load(path), WallClock()
    async with connected(settings, stop, PATIENCE_S) as broker, memory(settings) as store:
        await make_topics(settings, broker, stop=stop, patience_s=PATIENCE_S)
        await create_topics(broker, partitions_of(settings)["training"])
        broker, serde = await speaking(settings, broker, [TRANSITIONS.name], [ACTOR], stop, PATIENCE_S)
        acting = Actor(broker, job.training_id, actor_id, job.config, job.environments, job.streaming, clock, serde)
        watch = MemoryWatch(settings.observability.high_memory_gb)
        told = beat_process(ACTOR, lambda: acting.transitions, store, clock, stop, memory=watch)
        beating = asyncio.create_task(told)
        log.info("actor %s of training %s acts on %s", actor_id, job.training_id, settings.kafka.bootstrap)
        try:
            await acting.run(stop)
        except Exception as error:
            raise task_failed(error) from error
        finally:
            stop.set()
            await beating
        log.info("actor %s has stopped after %d transitions", actor_id, acting.transitions)
