"""The project's own programs as child processes: the orchestrator and the pools."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from streams.errors import ServiceError

STOP_S = 10.0
"""How long a process may take to drain before it is killed."""


@dataclass
class Processes:
    """Child processes by name; each writes to <folder>/<name>.log."""

    folder: Path
    environment: Mapping[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start `finagent <command>`; environment: what this one has besides what all have."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "infra.cli", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment, **(environment or {})},
            )

    def log(self, name: str) -> Path:
        """Return where a process writes."""
        return self.folder / f"{name}.log"

    def kill(self, name: str) -> None:
        """End a process with SIGKILL."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def check(self) -> None:
        """Raise ServiceError with the last lines of the log where a process has ended by itself."""
        for name, process in self.running.items():
            if process.poll() is not None:
                tail = "\n".join(self.log(name).read_text(errors="replace").splitlines()[-5:])
                raise ServiceError(f"{name} ended with exit code {process.returncode}; {self.log(name)} ends:\n{tail}")

    def stop(self) -> None:
        """Ask every process to drain, and kill those that do not end in time."""
        for process in self.running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for process in self.running.values():
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()


@contextmanager
def processes(folder: Path, environment: Mapping[str, str]) -> Iterator[Processes]:
    """Run child processes until the block ends."""
    children = Processes(folder, environment)
    try:
        yield children
    finally:
        children.stop()
