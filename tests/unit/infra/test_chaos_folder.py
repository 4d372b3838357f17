"""A run's folder is its own: what an earlier run left in it is ended, and anything else is left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.chaos.folder import Folder
from streams.errors import ConfigError

_WAIT = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]


def waiting(word: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start a program that waits in a folder, the word in its command line."""
    return subprocess.Popen([*_WAIT, word], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_what_a_killed_run_left_running_is_ended_and_nothing_else(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "run")
    folder.prepare()
    (folder.logs / "old.log").touch()
    with (
        waiting("infra.cli", folder.logs) as left,
        waiting("an editor", folder.logs) as other,
        waiting("infra.cli", tmp_path) as elsewhere,
    ):
        for each in (left, other, elsewhere):
            assert each.stdout is not None
            each.stdout.readline()
        folder.prepare()
        assert left.wait(10) == -9
        assert other.poll() is None
        assert elsewhere.poll() is None
        for each in (other, elsewhere):
            each.kill()
    assert list(folder.logs.iterdir()) == []


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(ConfigError, match="of no earlier run"):
        Folder(tmp_path).prepare()
    assert (tmp_path / "precious").exists()
