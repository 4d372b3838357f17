"""Worker processes that end with their parent, however it ends; one that dies itself costs no other job its result."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from infra.sweep.job import failed, run_job
from schemas import BacktestCompleted, BacktestFailed, RunBacktest
from streams.errors import ServiceError

Result = BacktestCompleted | BacktestFailed


def executor(workers: int) -> ProcessPoolExecutor:
    """Return a pool of fresh processes."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_follow_parent)


def run_here(jobs: Sequence[RunBacktest], workers: int, told: Callable[[], None]) -> list[Result]:
    """Run jobs in this process, or in several; return their results in the jobs' order. told: one more is done."""
    results: list[Result] = []
    if workers == 1:
        for job in jobs:
            results.append(run_job(job))
            told()
        return results
    while len(results) < len(jobs):
        try:
            with executor(workers) as pool:
                for result in pool.map(run_job, jobs[len(results) :]):
                    results.append(result)
                    told()
        except BrokenProcessPool:
            results.append(run_apart(jobs[len(results)]))
            told()
    return results


def run_apart(job: RunBacktest) -> Result:
    """Run a job in a process of its own; that this one dies is the job's answer.

    A process that dies breaks its pool, and nobody can tell which of the pool's jobs it was.
    """
    try:
        with executor(1) as pool:
            return pool.submit(run_job, job).result()
    except BrokenProcessPool:
        return failed(job, ServiceError("the process of this backtest died: it was killed, or memory ran out"))


class Workers:
    """A pool of processes that is made anew when one of them dies."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool = executor(count)

    async def run(self, job: RunBacktest) -> Result:
        """Run a job in one of the processes."""
        pool = self._pool
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, run_job, job)
        except BrokenProcessPool:
            if self._pool is pool:
                pool.shutdown(wait=False)
                self._pool = executor(self._count)
            return await asyncio.to_thread(run_apart, job)

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown()


def _follow_parent() -> None:
    """End this process with its parent: a killed parent closes no queue."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
