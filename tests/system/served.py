"""A real `finagent serve` for the length of a block."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
STOP_TIMEOUT_S = 30
SAMPLE_FEED = ("--feed", "sample", "--symbols", "AAPL,GOOGL,IBM,MSFT", "--wait-for-strategy")
"""Real daily bars, from when the first strategy is on the data plane."""


@contextmanager
def served(folder: Path, *options: str, port: int = 0, key: str = "") -> Iterator[str]:
    """Run the server in the folder, and give its URL; port 0: a free one; key: what clients must give."""
    command = [sys.executable, "-m", "infra.cli", "serve", "--port", str(port), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "FINAGENT_API_KEY": key}
    with (
        (folder / "serve.log").open("a") as errors,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            yield _address(process, folder)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=STOP_TIMEOUT_S)


def _address(process: subprocess.Popen[str], folder: Path) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found[0]
    raise AssertionError(f"the server ended: {(folder / 'serve.log').read_text()}")
