"""A sweep through the log: jobs on `backtests`, results on `backtest_results`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from infra.sweep.processes import Result
from schemas import BacktestCompleted, BacktestFailed, RunBacktest
from streams.broker import Broker
from streams.errors import ServiceError
from streams.ids import derive_id
from streams.record import Envelope, Record
from streams.serde import Serde
from streams.tail import tail
from streams.topics import BACKTEST_RESULTS, BACKTESTS

PATIENCE_S = 120.0
"""How long no result may come."""
SOURCE = "sweep"


async def run_through(
    broker: Broker,
    serde: Serde,
    partitions: Mapping[str, int],
    jobs: Sequence[RunBacktest],
    told: Callable[[], None],
    patience_s: float = PATIENCE_S,
) -> list[Result]:
    """Publish jobs, and return their results in the jobs' order once workers have done all.

    Raises ServiceError where no result comes for patience_s.
    """
    found: dict[int, Result] = {}
    wanted = {job.job_id for job in jobs}
    async with tail(broker, serde, [BACKTEST_RESULTS.name]) as results:
        await broker.publish([_record(job, serde, partitions["backtest"]) for job in jobs])
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while len(found) < len(jobs):
            for event in await results.poll():
                message = event.message
                if isinstance(message, BacktestCompleted | BacktestFailed) and message.job_id in wanted:
                    if found.setdefault(message.number, message) is message:
                        told()
                    heard = loop.time()
            results.events.clear()
            if loop.time() - heard > patience_s:
                raise ServiceError(
                    f"no worker answered for {patience_s:g} s, {len(found)} of {len(jobs)} backtests are done: "
                    "start workers with `finagent worker --kafka ...`"
                )
    return [found[job.number] for job in jobs]


def _record(job: RunBacktest, serde: Serde, partitions: int) -> Record:
    # By number rather than by key, so that every worker gets the same share.
    message_id = derive_id(job.job_id, SOURCE)
    envelope = Envelope(message_id, type(job).__name__, SOURCE, job.ts_event, job.sweep_id, message_id)
    place = job.number % partitions
    return Record(BACKTESTS.name, job.job_id, serde.encode(job), envelope.headers(), place, job.ts_event // 1_000_000)
