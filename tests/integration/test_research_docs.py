"""What docs/research.md and docs/mcp.md show is run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = {name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("research", "mcp")}
COMMANDS = [
    line for block in re.findall(r"```bash\n(.*?)```", DOCS["research"], re.DOTALL) for line in block.splitlines()
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs_as_printed(command: str) -> None:
    arguments = [sys.executable, "-m", "infra.cli", *shlex.split(command)[1:]]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=100, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "sample:bokeh-sampledata (real)" in done.stdout


def test_the_pool_of_the_mcp_page_is_the_class_as_printed() -> None:
    code = next(block for block in re.findall(r"```python\n(.*?)```", DOCS["mcp"], re.DOTALL) if "class" in block)
    found: dict[str, type] = {}
    exec(code, found)
    made = found["CustomAgentPool"]()
    assert made.mcp.name == "CustomAgentPool"
    assert 'run(host="localhost", port=8005)' in code


def test_every_link_leads_somewhere() -> None:
    for text in DOCS.values():
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / "docs" / target).exists(), target
