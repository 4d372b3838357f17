"""docs/operations.md: its commands run, its tables name what there is."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from infra.observability.families import of_control, of_health, of_machine, of_processes, of_tasks, of_trading
from infra.observability.log_figures import LogFigures
from orchestrator.settings import Settings
from tests.unit.orchestrator.test_settings import leaves

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "operations.md").read_text()
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("finagent ")
]


@pytest.mark.kafka
@pytest.mark.redis
def test_its_commands_run(kafka_bootstrap: str, redis_url: str, prefix: str, tmp_path: Path) -> None:
    assert len(COMMANDS) == 5
    named = {"BOOTSTRAP": kafka_bootstrap, "PREFIX": prefix}
    environment = {**os.environ, **{f"FINAGENT_KAFKA__{name}": value for name, value in named.items()}}
    environment["FINAGENT_REDIS__URL"] = redis_url
    for command in COMMANDS:
        arguments = [sys.executable, "-m", "infra.cli", *shlex.split(command)[1:]]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment)
        # No system runs under this prefix, and status says so.
        assert done.returncode == (1 if command.startswith("finagent status") else 0), (command, done.stderr)
        assert done.stdout
    assert (tmp_path / "asyncapi.yaml").read_text() == (ROOT / "docs" / "asyncapi.yaml").read_text()


def test_its_metrics_are_those_that_there_are() -> None:
    told = {
        name: (kind, tuple(re.findall(r"\w+", labels)))
        for name, kind, labels in re.findall(r"\| `(finagent_\w+)` \| (\w+) \| ([\w, ]*) ?\|", TEXT)
    }
    found = [
        *of_tasks([]),
        *of_processes([]),
        *of_machine(0, 0, 0),
        of_health("healthy"),
        *of_control({}, 0),
        *of_trading(LogFigures()),
    ]
    there = {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, tuple(family._labelnames))
        for family in found
    }
    assert told == there


def test_its_settings_exist() -> None:
    keys = leaves(Settings().model_dump())
    sections = "|".join(sorted({key.split(".")[0] for key in keys}))
    named = re.findall(rf"`((?:{sections})\.[a-z_.]+)", TEXT)
    assert len(named) > 8
    for name in named:
        assert any(key == name or key.startswith(f"{name}.") for key in keys), name
    variables = re.findall(r"FINAGENT_([A-Z]+)__([A-Z_]+)", TEXT)
    assert {f"{section}.{key}".lower() for section, key in variables} <= set(keys)
    blocks = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    [block] = [each for each in blocks if not each.startswith("env:")]
    assert Settings.from_dict(yaml.safe_load(block)).observability.tracing


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
