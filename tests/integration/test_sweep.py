"""Sweeps through the command line: in one process, in two, and through a real Kafka with a worker that is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNS = 200
SWEEP = [
    "sweep",
    "examples/strategies/momentum.yaml",
    *("--grid", "lookback_period=5:24:1", "--grid", "momentum_threshold=0:0.09:0.01"),
    *("--start", "2012-01-03", "--end", "2012-03-01"),
]


def finagent(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the table of the sweep in one process."""
    folder = tmp_path_factory.mktemp("one")
    done = finagent(*SWEEP, "--workers", "1", "--out", str(folder))
    assert done.returncode == 0, done.stderr
    assert f"{RUNS} backtests, 0 failed" in done.stdout
    return (folder / "table.csv").read_text()


def test_a_sweep_gives_the_same_table_in_two_processes(table: str, tmp_path: Path) -> None:
    done = finagent(*SWEEP, "--workers", "2", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "table.csv").read_text() == table
    assert len(table.splitlines()) == RUNS + 1
    finals = {line.split(",")[14] for line in table.splitlines()[1:]}
    assert len(finals) > RUNS / 4  # the parameters matter


@pytest.mark.kafka
@pytest.mark.redis
def test_a_sweep_gives_the_same_table_through_kafka_with_a_worker_killed(
    table: str, tmp_path: Path, kafka_bootstrap: str, redis_url: str, prefix: str
) -> None:
    environment = {
        "FINAGENT_KAFKA__BOOTSTRAP": kafka_bootstrap,
        "FINAGENT_KAFKA__PREFIX": prefix,
        "FINAGENT_REDIS__URL": redis_url,
    }
    command = [sys.executable, "-m", "infra.cli"]
    logs = [(tmp_path / f"worker-{number}.log").open("w") for number in range(2)]
    workers = [
        subprocess.Popen(
            [*command, "worker", "--processes", "1"],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        for log in logs
    ]
    try:
        sweep = subprocess.Popen(
            [*command, *SWEEP, "--out", str(tmp_path)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        _half_way(environment)
        workers[0].kill()
        out, error = sweep.communicate(timeout=100)
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        for worker, log in zip(workers, logs, strict=True):
            worker.wait(timeout=30)
            log.close()
    assert sweep.returncode == 0, error + (tmp_path / "worker-1.log").read_text()
    assert f"{RUNS} backtests, 0 failed" in out
    assert (tmp_path / "table.csv").read_text() == table
    assert workers[1].returncode == 0


def _half_way(environment: dict[str, str]) -> None:
    """Wait until a quarter of the backtests and more are done, by what the topics hold."""
    deadline = time.monotonic() + 80
    while True:
        listed = finagent("topics", "--json", environment=environment)
        records = {each["topic"]: each["records"] for each in json.loads(listed.stdout or "[]")}
        if records.get("backtest_results", 0) >= RUNS // 4:
            return
        assert time.monotonic() < deadline, records


def test_a_random_sweep_depends_on_its_seed_alone(tmp_path: Path) -> None:
    small = [*SWEEP[:6], "--start", "2012-01-03", "--end", "2012-03-30", "--random", "3", "--workers", "1", "--json"]
    found = [json.loads(finagent(*small, "--seed", seed).stdout) for seed in ("1", "1", "2")]
    assert found[0] == found[1]
    assert [row["lookback_period"] for row in found[0]["rows"]] != [row["lookback_period"] for row in found[2]["rows"]]
    assert found[0]["data"] == "real"


def test_a_trial_that_cannot_be_run_is_told_and_the_others_stand() -> None:
    done = finagent(*SWEEP[:2], "--grid", "lookback_period=20,9999", *SWEEP[6:], "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "2 backtests, 1 failed" in done.stdout
    assert "1 failed: Parameter 'lookback_period'" in done.stdout


def test_a_walk_forward_chooses_on_the_past_and_tells_each_window(tmp_path: Path) -> None:
    grid = ["--grid", "lookback_period=10,20", "--walk-forward", "train=60,test=30"]
    period = ["--start", "2011-01-03", "--end", "2011-12-30", "--workers", "1", "--out", str(tmp_path)]
    done = finagent(*SWEEP[:2], *grid, *period)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "walk_forward.json").read_text())
    assert len(found["windows"]) == (252 - 60) // 30
    assert all(each["train_end"] < each["test_start"] for each in found["windows"])
    assert len(found["returns"]) == 30 * len(found["windows"])
    growth = 1.0
    for each in found["returns"]:
        growth *= 1 + each["return"]
    assert found["out_of_sample"]["total_return"] == pytest.approx(growth - 1)


def test_a_heat_map_is_a_picture_and_needs_two_parameters(tmp_path: Path) -> None:
    grid = ["--grid", "lookback_period=10,20", "--grid", "top=1,2"]
    end = ["--start", "2012-01-03", "--end", "2012-03-30", "--workers", "1"]
    pictures = [tmp_path / "first.png", tmp_path / "second.png"]
    for picture in pictures:
        done = finagent(*SWEEP[:2], *grid, *end, "--heat-map", str(picture))
        assert done.returncode == 0, done.stderr
    assert pictures[0].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
    one = finagent(*SWEEP[:2], *grid[:2], *end, "--heat-map", str(tmp_path / "third.png"))
    assert one.returncode == 1
    assert re.search("a heat map is over two parameters", one.stderr)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "at least one --grid"),
        (["--grid", "lookback_perod=1,2"], "nearest is 'lookback_period'"),
        (["--grid", "lookback_period=10,20", "--metric", "sharp"], "nearest is 'sharpe_ratio'"),
        (["--grid", "lookback_period=10,20", "--source", "topic"], "name a provider, a file or synthetic"),
    ],
)
def test_a_wrong_sweep_is_refused_before_anything_runs(arguments: list[str], message: str) -> None:
    done = finagent(*SWEEP[:2], *arguments)
    assert done.returncode == 1
    assert message in done.stderr
