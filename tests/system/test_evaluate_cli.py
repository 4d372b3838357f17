"""`finagent evaluate` as a user calls it, on years so few that it ends soon."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SMALL = {
    "data": {"providers": ["sp500"], "symbols": ["AAPL", "KO"], "start": "1991-01-02", "end": "1993-12-31"},
    "algorithms": [{"algorithm": "A2C", "num_envs": 4, "net_arch": [8], "reward_scale": 100}],
    "steps": 200,
    "walk_forward": {
        "train_years": 1, "validation_years": 1, "test_years": 1, "seeds": 2, "costs_bps": [10, 25], "looks": 2,
    },
}  # fmt: skip


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.cli", "evaluate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110)


def test_the_example_in_small(tmp_path: Path) -> None:
    """The shipped study with fewer years, seeds and steps."""
    document = yaml.safe_load((ROOT / "examples" / "walk_forward.yaml").read_text())
    study, picture = tmp_path / "small.yaml", tmp_path / "growth.png"
    study.write_text(yaml.safe_dump(document | SMALL))
    done = run(str(study), "--workers", "1", "--json", "--picture", str(picture), "--out", str(tmp_path / "all.json"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == json.loads((tmp_path / "all.json").read_text())
    assert (found["source"], found["data"]) == ("sample:skfolio-sp500", "real")
    assert found["tested"] == [["1993-01-04", "1993-12-31"]]
    assert found["seeds"] == [0, 1]
    names = ["A2C", "buy and hold", "equal weight", "minimum variance"]
    assert [(line["name"], line["bps"]) for line in found["lines"]] == [(n, b) for b in (10.0, 25.0) for n in names]
    held = {line["bps"]: line["annual_return"] for line in found["lines"] if line["name"] == "equal weight"}
    assert held[25.0] < held[10.0]
    assert {each["verdict"] for each in found["comparisons"]} <= {"wins", "loses", "no difference shown"}
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_studied_is_told_before_anything_runs(tmp_path: Path) -> None:
    study = tmp_path / "wrong.yaml"
    study.write_text(yaml.safe_dump(SMALL | {"algoritms": []}))
    done = run(str(study))
    assert done.returncode != 0
    assert "'algoritms', nearest is 'algorithms'" in done.stderr
    study.write_text(yaml.safe_dump(SMALL))
    done = run(str(study), "--picture", str(tmp_path / "growth.gif"))
    assert done.returncode != 0
    assert ".png, .svg" in done.stderr
