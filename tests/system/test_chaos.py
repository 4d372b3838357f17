"""A short run with every kind of fault, by the command that anyone can run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from infra.chaos.plan import KINDS

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(600)]
SEED = int(os.environ.get("CHAOS_SEED", "7"))
FAULTS = 10
SLICES = 40


def command(folder: Path, *more: str) -> list[str]:
    """Return the command line of a run."""
    return [sys.executable, "-m", "infra.cli", "chaos", "--folder", str(folder), "--json", *more]


def left_in(folder: Path) -> list[str]:
    """Return the processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def test_ten_faults_of_all_kinds_change_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    options = ("--seed", str(SEED), "--faults", str(FAULTS), "--slices", str(SLICES))
    done = subprocess.run(command(folder, *options), capture_output=True, text=True, timeout=540, check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert {finding["what"]: finding["first"] for finding in report["verdict"]["findings"] if finding["count"]} == {}
    assert done.returncode == 0, done.stderr
    assert report == json.loads((folder / "report.json").read_text())
    struck = report["outcomes"]
    assert len(struck) == FAULTS
    assert {outcome["fault"]["kind"] for outcome in struck} == set(KINDS)
    assert all(outcome["at_slice"] < SLICES for outcome in struck), "each met work"
    assert report["counts"]["slices"] == SLICES
    assert report["counts"]["orders"] > SLICES
    assert report["synthetic"] is True
    assert left_in(folder) == []


def test_a_run_that_is_asked_to_stop_leaves_no_process(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    options = command(folder, "--slices", "5")
    with subprocess.Popen(options, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        while not (folder / "logs" / "execution-1.log").exists():
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(0.1)
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert left_in(folder) == []


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    done = subprocess.run(command(tmp_path), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "is not empty and of no earlier run" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
