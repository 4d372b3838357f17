"""Backtests: each in a process of its own, one after the other, their results kept in a folder."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from infra.server.models import BacktestView
from infra.server.problems import RETRY_S, Refused
from orchestrator.settings import Settings
from streams.clock import Clock
from streams.errors import MissingData
from streams.record import rfc3339

log = logging.getLogger("finagent.server")
QUEUED = 32
"""Backtests that may wait."""
LISTED = 1000
"""Newest backtests that are listed; the folders of older ones stay."""
_STOP_S = 5.0


@dataclass
class Job:
    """One backtest; what stands in its record.json."""

    test_id: str
    mode: str
    config: dict[str, Any]
    created: int
    status: Literal["queued", "running", "completed", "failed"] = "queued"
    error: str | None = None
    finished: int | None = None


@dataclass
class Backtests:
    """Queue, run and keep backtests."""

    folder: Path
    settings: Settings
    clock: Clock
    told: Callable[[Job], None]
    """Told each change."""
    jobs: dict[str, Job] = field(default_factory=dict)
    _queue: asyncio.Queue[Job] = field(default_factory=asyncio.Queue)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, clock: Clock, told: Callable[[Job], None]) -> AsyncIterator[Self]:
        """Find what is kept, go on with what waited, and work until the block ends."""
        backtests = cls(Path(settings.server.results_folder), settings, clock, told)
        backtests._restore()
        worker = asyncio.create_task(backtests._work(), name="backtests")
        try:
            yield backtests
        finally:
            worker.cancel()
            await asyncio.wait([worker])

    def submit(self, test_id: str, mode: str, config: Mapping[str, Any]) -> Job:
        """Queue a backtest; one that is there already is returned.

        Raises Refused: 409 where test_id names another backtest, 429 where too many wait.
        """
        known = self.jobs.get(test_id)
        if known is not None:
            if (known.mode, known.config) != (mode, dict(config)):
                raise Refused(409, f"backtest {test_id!r} was made with another configuration")
            return known
        if self._queue.qsize() >= QUEUED:
            raise Refused(429, f"{QUEUED} backtests wait already", retry_s=RETRY_S * 10)
        job = Job(test_id, mode, dict(config), self.clock.now())
        self.jobs[test_id] = job
        self._keep(job)
        self._queue.put_nowait(job)
        return job

    def get(self, test_id: str) -> Job:
        """Return a backtest; raise MissingData where there is none."""
        if test_id not in self.jobs:
            raise MissingData(f"no backtest {test_id!r}")
        return self.jobs[test_id]

    def newest_first(self) -> list[Job]:
        """Return all of them."""
        return sorted(self.jobs.values(), key=lambda job: (job.created, job.test_id), reverse=True)

    def view(self, job: Job, *, whole: bool) -> BacktestView:
        """Return a backtest as the API shows it."""
        result = self.folder / job.test_id / "result.json"
        return BacktestView(
            test_id=job.test_id,
            status=job.status,
            mode=job.mode,
            config=job.config,
            result=json.loads(result.read_text()) if whole and job.status == "completed" else None,
            error=job.error,
            created=rfc3339(job.created),
            finished=rfc3339(job.finished) if job.finished else None,
            report=f"/backtest/{job.test_id}/report" if self.report(job).is_file() else None,
        )

    def report(self, job: Job) -> Path:
        """Return where a backtest's report is, or would be."""
        return self.folder / job.test_id / "report.html"

    def _restore(self) -> None:
        found = []
        for path in self.folder.glob("*/record.json"):
            try:
                found.append(Job(**json.loads(path.read_text())))
            except (ValueError, TypeError) as error:
                log.warning("%s is passed over: %s", path, error)
        for job in sorted(found, key=lambda job: (job.created, job.test_id))[-LISTED:]:
            self.jobs[job.test_id] = job
            if job.status == "running":
                self._end(job, "failed", "the server ended while it ran: submit it again under another test_id")
            elif job.status == "queued":
                self._queue.put_nowait(job)

    async def _work(self) -> None:
        while True:
            job = await self._queue.get()
            self._set(job, "running")
            try:
                code, said = await self._run(job)
                self._end(job, "completed" if code == 0 else "failed", said or (f"exit code {code}" if code else None))
            except OSError as error:
                self._end(job, "failed", f"its process could not be started: {error}")

    async def _run(self, job: Job) -> tuple[int, str | None]:
        """Run a backtest in a process of its own; return its exit code and what it said last."""
        task = {"settings": self.settings.model_dump(mode="json"), "folder": str(self.folder / job.test_id)}
        # Through the pipe: settings may hold passwords, and arguments show in the list of processes.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "infra.server.backtest_job",
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, said = await process.communicate(json.dumps({**task, "job": asdict(job)}).encode())
        finally:
            await _ended(process)
        lines = said.decode(errors="replace").strip().splitlines()
        return process.returncode or 0, lines[-1].removeprefix("error: ") if lines else None

    def _set(self, job: Job, status: Literal["running", "completed", "failed"]) -> None:
        job.status = status
        self._keep(job)

    def _end(self, job: Job, status: Literal["completed", "failed"], error: str | None) -> None:
        job.error, job.finished = error, self.clock.now()
        self._set(job, status)

    def _keep(self, job: Job) -> None:
        path = self.folder / job.test_id / "record.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(job)))
        fresh.replace(path)
        self.told(job)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """End a process that still runs."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()
