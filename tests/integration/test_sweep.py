"""Sweeps through the command line: in one process, in two, and through a real Kafka with a worker that is killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.cli.app import run
from infra.cli.connection import connected
from orchestrator.settings import Settings
from orchestrator.wiring import partitions_of
from streams.host import create_topology
from streams.serde import Serde
from streams.tail import tail
from streams.topics import BACKTEST_RESULTS

ROOT = Path(__file__).parents[2]
MOMENTUM = str(ROOT / "examples" / "strategies" / "momentum.yaml")
RUNS = 200
SWEEP = [
    "sweep",
    MOMENTUM,
    *("--grid", "lookback_period=5:14:1", "--grid", "momentum_threshold=0:0.095:0.005"),
    *("--start", "2012-01-03", "--end", "2012-02-15"),
]
QUARTER = ["--start", "2012-01-03", "--end", "2012-03-30", "--workers", "1"]
Called = Callable[..., tuple[str, str]]


@pytest.fixture
def finagent(capsys: pytest.CaptureFixture[str]) -> Called:
    """Give a function that runs a command in this process and returns what it printed."""

    def called(*arguments: str, code: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run(arguments)
        said = capsys.readouterr()
        assert ended.value.code == code, said.err
        return said.out, said.err

    return called


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the table of the sweep in one process."""
    folder = tmp_path_factory.mktemp("one")
    with pytest.raises(SystemExit) as ended:
        run([*SWEEP, "--workers", "1", "--out", str(folder)])
    assert ended.value.code == 0
    return (folder / "table.csv").read_text()


def test_a_sweep_gives_the_same_table_in_two_processes(table: str, tmp_path: Path, finagent: Called) -> None:
    out, _ = finagent(*SWEEP, "--workers", "2", "--out", str(tmp_path))
    assert f"{RUNS} backtests, 0 failed" in out
    assert (tmp_path / "table.csv").read_text() == table
    assert len(table.splitlines()) == RUNS + 1
    finals = {line.split(",")[14] for line in table.splitlines()[1:]}
    assert len(finals) > RUNS / 4  # the parameters matter


@pytest.mark.kafka
@pytest.mark.redis
async def test_a_sweep_gives_the_same_table_through_kafka_with_a_worker_killed(
    table: str, tmp_path: Path, kafka_bootstrap: str, redis_url: str, prefix: str
) -> None:
    environment = {
        "FINAGENT_KAFKA__BOOTSTRAP": kafka_bootstrap,
        "FINAGENT_KAFKA__PREFIX": prefix,
        "FINAGENT_REDIS__URL": redis_url,
    }
    settings = Settings.from_dict({"kafka": {"bootstrap": kafka_bootstrap, "prefix": prefix}})

    def started(name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (tmp_path / f"{name}.log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "infra.cli", *arguments],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async with connected(settings) as broker:
        await create_topology(broker, partitions_of(settings), [])
        async with tail(broker, Serde(), [BACKTEST_RESULTS.name]) as results:
            workers = [started(f"worker-{number}", "worker", "--processes", "1") for number in range(2)]
            sweep = started("sweep", *SWEEP, "--out", str(tmp_path))
            try:
                async with asyncio.timeout(80):
                    while len(results.events) < RUNS // 4:
                        await results.poll()
                workers[0].kill()
                await asyncio.to_thread(sweep.wait, 100)
            finally:
                for process in (sweep, *workers):
                    if process.poll() is None:
                        process.send_signal(signal.SIGTERM)
                for process in (sweep, *workers):
                    await asyncio.to_thread(process.wait, 30)
    said = "".join((tmp_path / f"{name}.log").read_text() for name in ("sweep", "worker-1"))
    assert sweep.returncode == 0, said
    assert f"{RUNS} backtests, 0 failed" in said
    assert (tmp_path / "table.csv").read_text() == table
    assert workers[1].returncode == 0, said


def test_a_random_sweep_depends_on_its_seed_alone(finagent: Called) -> None:
    small = [*SWEEP[:6], *QUARTER, "--random", "3", "--json"]
    found = [json.loads(finagent(*small, "--seed", seed)[0]) for seed in ("1", "1", "2")]
    assert found[0] == found[1]
    assert [row["lookback_period"] for row in found[0]["rows"]] != [row["lookback_period"] for row in found[2]["rows"]]
    assert found[0]["data"] == "real"


def test_a_trial_that_cannot_be_run_is_told_and_the_others_stand(finagent: Called) -> None:
    out, _ = finagent("sweep", MOMENTUM, "--grid", "lookback_period=20,9999", *QUARTER)
    assert "2 backtests, 1 failed" in out
    assert "1 failed: Parameter 'lookback_period'" in out


def test_trials_that_never_trade_say_nothing_of_skill_or_luck(finagent: Called) -> None:
    out, _ = finagent("sweep", MOMENTUM, "--grid", "momentum_threshold=0.49,5e-1", *QUARTER)
    assert "2 backtests, 0 failed" in out
    assert "too few days or different trials to tell skill from luck" in out


def test_a_walk_forward_chooses_on_the_past_and_tells_each_window(tmp_path: Path, finagent: Called) -> None:
    grid = ["--grid", "lookback_period=10,20", "--walk-forward", "train=60,test=30"]
    period = ["--start", "2011-01-03", "--end", "2011-12-30", "--workers", "1", "--out", str(tmp_path)]
    finagent("sweep", MOMENTUM, *grid, *period)
    found = json.loads((tmp_path / "walk_forward.json").read_text())
    assert len(found["windows"]) == (252 - 60) // 30
    assert all(each["train_end"] < each["test_start"] for each in found["windows"])
    assert len(found["returns"]) == 30 * len(found["windows"])
    growth = 1.0
    for each in found["returns"]:
        growth *= 1 + each["return"]
    assert found["out_of_sample"]["total_return"] == pytest.approx(growth - 1)


HEAT = ["sweep", MOMENTUM, "--grid", "lookback_period=10,20", "--grid", "top=1,2", *QUARTER]


def test_a_heat_map_is_a_picture(tmp_path: Path, finagent: Called) -> None:
    pictures = [tmp_path / "first.png", tmp_path / "second.png"]
    for picture in pictures:
        finagent(*HEAT, "--heat-map", str(picture))
    assert pictures[0].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


def test_a_heat_map_is_a_page_with_the_values_of_the_table(tmp_path: Path, finagent: Called) -> None:
    file = tmp_path / "new" / "map.html"
    out, _ = finagent(*HEAT, "--heat-map", str(file), "--json")
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', file.read_text())
    assert data
    (figure,) = json.loads(data[1])["figures"].values()
    shown = {
        (float(y), float(x)): value
        for y, row in zip(figure["data"][0]["y"], figure["data"][0]["z"], strict=True)
        for x, value in zip(figure["data"][0]["x"], row, strict=True)
    }
    rows = json.loads(out)["rows"]
    assert shown == pytest.approx({(row["lookback_period"], row["top"]): row["sharpe_ratio"] for row in rows}, 1e-5)


LOOKBACKS = ["--grid", "lookback_period=10,20"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "at least one --grid"),
        (["--grid", "lookback_perod=1,2"], "nearest is 'lookback_period'"),
        ([*LOOKBACKS, "--metric", "sharp"], "nearest is 'sharpe_ratio'"),
        ([*LOOKBACKS, "--source", "topic"], "name a provider, a file or synthetic"),
        ([*LOOKBACKS, "--heat-map", "map.png"], "a heat map is over two parameters"),
        ([*LOOKBACKS, "--grid", "top=1,2", "--heat-map", "map.pdf"], "ends in .png, .svg, .html"),
        ([*LOOKBACKS, "--out", __file__], f"{__file__}: File exists"),
    ],
)
def test_a_wrong_sweep_is_refused_before_anything_runs(arguments: list[str], message: str, finagent: Called) -> None:
    out, error = finagent("sweep", MOMENTUM, *arguments, code=1)
    assert out == ""
    assert error.startswith("error: ")
    assert message in error
    assert len(error.splitlines()) == 1
