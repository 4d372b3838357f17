"""The folder of a run: it is made anew for each, and what an earlier run left running in it is ended first."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.services.processes import kill
from streams.errors import ConfigError

_MARK = "chaos-run"
_PROGRAMS = ("infra.cli", "kafka.Kafka", "redis-server", "valkey-server")


@dataclass(frozen=True)
class Folder:
    """Where a run keeps its brokers' data, its Redis, its logs and its report."""

    path: Path

    @property
    def brokers(self) -> Path:
        """Return the folder of the brokers."""
        return self.path / "brokers"

    @property
    def redis(self) -> Path:
        """Return the folder of Redis."""
        return self.path / "redis"

    @property
    def logs(self) -> Path:
        """Return the folder that the system's processes work and log in."""
        return self.path / "logs"

    @property
    def report(self) -> Path:
        """Return the file of the report."""
        return self.path / "report.json"

    def prepare(self) -> None:
        """Make the folder, or empty one of an earlier run; raise ConfigError for any other that is not empty."""
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / _MARK).exists():
            raise ConfigError(f"--folder {self.path} is not empty and of no earlier run: name another one")
        self.path.mkdir(parents=True, exist_ok=True)
        kill(self._left_running())
        for each in (self.brokers, self.redis, self.logs):
            shutil.rmtree(each, ignore_errors=True)
        self.report.unlink(missing_ok=True)
        self.logs.mkdir()
        (self.path / _MARK).touch()

    def _left_running(self) -> list[int]:
        """Return the pids of programs that an earlier run, killed before it could stop them, left in the folder."""
        return [process.pid for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            inside = Path(process.cwd()).is_relative_to(self.path.resolve())
            return inside and any(program in " ".join(process.cmdline()) for program in _PROGRAMS)
        except psutil.Error:
            return False
