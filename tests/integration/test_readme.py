"""What the README shows is run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
RUN_ELSEWHERE = {
    "finagent broker start",
    "finagent broker stop",
    "finagent demo --kafka local",
    "finagent train examples/train_td3.yaml",
    "finagent serve --feed sample --symbols AAPL,GOOGL,IBM,MSFT --wait-for-strategy",
}
"""By test_local_services.py and test_train_cli.py here, test_kafka_system.py and test_dashboard.py in tests/system."""


def test_the_first_strategy_runs_as_printed(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[:3]] == ["AAPL", "GOOGL", "MSFT"]
    assert "sample:bokeh-sampledata (real)" in done.stdout


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("finagent") and c not in RUN_ELSEWHERE])
def test_a_command_runs_as_printed(command: str) -> None:
    arguments = [sys.executable, "-m", "infra.cli", *shlex.split(command)[1:]]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_every_make_target_exists() -> None:
    targets = {command.split()[1] for command in COMMANDS if command.startswith("make ")}
    assert targets == {"demo", "test"}
    assert targets <= set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
