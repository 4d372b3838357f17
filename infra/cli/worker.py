"""`finagent worker`: backtests for the sweeps of any machine."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from typing import Annotated

import typer

from infra.cli.options import Config, Kafka, Prefix, Redis, need_kafka, settings_of
from infra.cli.serving import serve
from infra.cli.stopping import until_stopped
from infra.sweep.processes import Workers
from infra.sweep.worker import worker_kind


def worker(
    processes: Annotated[int | None, typer.Option(help="Backtests at once; default: one a core.", min=1)] = None,
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    prefix: Prefix = None,
) -> None:
    """Run backtests off the topic `backtests` until SIGTERM or Ctrl-C; sweeps share all workers."""
    settings = settings_of(config, kafka, redis, prefix)
    need_kafka(settings)

    async def run(stop: asyncio.Event) -> None:
        with closing(Workers(processes or os.cpu_count() or 1)) as workers:
            await serve(settings, [worker_kind(workers)], "worker", stop)

    until_stopped(run)
