"""What docs/guarantees.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/guarantees.md").read_text()


def test_every_promise_names_a_test_that_there_is() -> None:
    promises = [line for line in TEXT.split("## Under")[0].splitlines() if line.startswith("| **")]
    assert len(promises) > 8
    for promise in promises:
        assert re.search(r"tests/\w+/test_\w+\.py|\.md\)", promise), promise
    for name in re.findall(r"tests/[\w/]+\.py", TEXT):
        assert (ROOT / name).exists(), name


def test_its_settings_and_links_exist() -> None:
    settings = Settings().model_dump()["kafka"]
    named = re.findall(r"`kafka\.(\w+)`", TEXT)
    assert named
    assert set(named) <= set(settings)
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
