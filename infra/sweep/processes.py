"""Worker processes that end with their parent, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait

from infra.sweep.job import run_job
from schemas import BacktestCompleted, BacktestFailed, RunBacktest

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
    with executor(workers) as pool:
        for result in pool.map(run_job, jobs):
            results.append(result)
            told()
    return results


def _follow_parent() -> None:
    """End this process with its parent: a killed parent closes no queue."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
