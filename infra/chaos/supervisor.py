"""The system's processes, and a supervisor that starts again whatever has ended."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from infra.chaos.plan import ORCHESTRATOR, PROCESSES
from infra.services.processes import tail
from orchestrator.wiring import BUILT_IN

_AGAIN_S = (0.2, 1.5)
"""After what time a process that has ended is started again."""
_STOP_S = 10.0


class Ending(BaseModel):
    """Tell of a process that nobody had killed and that ended."""

    model_config = ConfigDict(frozen=True)

    process: str
    exit_code: int
    last_lines: str
    """Of its log."""


@dataclass
class Supervisor:
    """Keeps two orchestrators and two processes of each pool running."""

    folder: Path
    environment: Mapping[str, str]
    seed: int
    endings: list[Ending] = field(default_factory=list)
    """Of processes that ended by themselves."""
    starts: int = 0
    _running: dict[str, Process] = field(default_factory=dict)
    _killed: set[int] = field(default_factory=set)
    _up: asyncio.Condition = field(default_factory=asyncio.Condition)
    _paused: dict[str, Process] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path, environment: Mapping[str, str], seed: int) -> AsyncIterator[Supervisor]:
        """Run the system's processes until the block ends."""
        supervisor = cls(folder, environment, seed)
        kept = [asyncio.create_task(supervisor._keep(name), name=name) for name in names()]
        try:
            yield supervisor
        finally:
            for task in kept:
                task.cancel()
            await asyncio.gather(*kept, return_exceptions=True)
            await supervisor._stop()

    async def kill(self, name: str) -> int:
        """End a process with SIGKILL, once it runs; return its pid."""
        process = await self._process(name)
        self._killed.add(process.pid)
        process.kill()
        return process.pid

    async def pause(self, name: str) -> int:
        """Stop a process with SIGSTOP, once it runs; return its pid."""
        self._paused[name] = process = await self._process(name)
        process.send_signal(signal.SIGSTOP)
        return process.pid

    def wake(self, name: str) -> None:
        """Let a paused process go on, unless it was killed meanwhile."""
        process = self._paused.pop(name, None)
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGCONT)

    async def _process(self, name: str) -> Process:
        async with self._up:
            await self._up.wait_for(lambda: name in self._running)
            return self._running[name]

    async def _keep(self, name: str) -> None:
        # Delays of its own, so that they do not depend on what happens to others.
        delays = random.Random(f"{self.seed}:{name}")
        while True:
            process = await self._start(name)
            try:
                code = await process.wait()
            finally:
                if process.returncode is not None:
                    self._running.pop(name, None)
            if process.pid not in self._killed:
                self.endings.append(Ending(process=name, exit_code=code, last_lines=tail(self.log(name), 3)))
            await asyncio.sleep(delays.uniform(*_AGAIN_S))

    async def _start(self, name: str) -> Process:
        kind = name.rpartition("-")[0]
        command = [ORCHESTRATOR] if kind == ORCHESTRATOR else ["pool", kind]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("FINAGENT_")}
        with self.log(name).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "infra.cli", *command),
                cwd=self.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A name that it keeps over restarts, as any supervisor may give.
                env={**inherited, **self.environment, "FINAGENT_KAFKA__INSTANCE_ID": name},
            )
        self.starts += 1
        async with self._up:
            self._running[name] = process
            self._up.notify_all()
        return process

    def log(self, name: str) -> Path:
        """Return where a process writes."""
        return self.folder / f"{name}.log"

    async def _stop(self) -> None:
        running = [process for process in self._running.values() if process.returncode is None]
        for process in running:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.terminate()
        ended = asyncio.gather(*(process.wait() for process in running))
        try:
            await asyncio.wait_for(asyncio.shield(ended), _STOP_S)
        except TimeoutError:
            for process in running:
                with suppress(ProcessLookupError):
                    process.kill()
            await ended


def names() -> list[str]:
    """Return the names of all processes."""
    return [f"{kind}-{number}" for kind in (ORCHESTRATOR, *BUILT_IN) for number in range(PROCESSES)]
