"""This release and one that follows it, as trees of their own: whatever happens to the working tree meanwhile."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("agents", "infra", "orchestrator", "rl", "schemas", "streams")
ADDED = "added_later"
_FIELD = f'    {ADDED}: str = "by the next release"\n    """Not known to the release before."""\n'


def this_release(folder: Path) -> Path:
    """Copy the tree; return the folder."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def next_release(folder: Path, messages: Sequence[str]) -> Path:
    """Copy the tree, give the messages a new first field, and release their schemas; return the folder."""
    this_release(folder)
    for name in messages:
        _grow(folder / "schemas", name)
    done = subprocess.run(
        [sys.executable, "-m", "schemas.avro"], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    written = {line.split(".")[0] for line in done.stdout.splitlines()}
    assert written >= set(messages), "each has a new version"
    return folder


def environment_of(tree: Path) -> dict[str, str]:
    """Return the variables that make a process run the code of a tree, wherever it is started."""
    return {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}


def _grow(folder: Path, name: str) -> None:
    head = re.compile(rf'(class {name}\(\w+\):\n    """.*?"""\n)', re.DOTALL)
    [path] = [path for path in folder.glob("*.py") if head.search(path.read_text())]
    path.write_text(head.sub(lambda found: found[1] + "\n" + _FIELD, path.read_text(), count=1))
