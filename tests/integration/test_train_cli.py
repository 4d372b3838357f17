"""`finagent train` and `finagent policies`: artifacts, stopping and going on, in one process and over Kafka."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.cli.app import run as finagent
from infra.cli.exits import INTERRUPTED
from rl.job import TrainingJob
from rl.session import Session
from streams.errors import ConfigError, InvalidData, MissingData

ROOT = Path(__file__).parents[2]
JOB: dict[str, Any] = {
    "name": "small",
    "data": {"symbols": ["AAPL", "GOOGL"], "start": "2012-01-03", "end": "2012-12-31"},
    "rules": {"episode_steps": 20},
    "config": {"algorithm": "td3", "net_arch": [8], "num_envs": 2, "batch_size": 16, "learning_starts": 50},
    "episodes": 12,
    "evaluations": 2,
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path, **changed: Any) -> str:
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump({**JOB, **changed}))
    return str(path)


def called(*arguments: str) -> int:
    try:
        finagent(list(arguments))
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_a_training_leaves_what_it_promises(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from matplotlib.image import imread
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert called("train", written(here), "--json") == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert (result["status"], result["episodes_completed"], result["algorithm"]) == ("completed", 12, "TD3")
    assert "100%" in err
    folder = here / ".finagent" / "training" / "small"
    assert json.loads((folder / "result.json").read_text()) == result
    pixels = imread(folder / "curve.png")
    assert pixels.shape[0] > 500
    assert pixels[..., :3].std() > 0.05
    board = EventAccumulator(str(folder / "tensorboard"))
    board.Reload()
    tags = set(board.Tags()["scalars"])
    assert {"rollout/episode_reward", "update/critic_loss", "evaluation/validation", "time/updates_per_s"} <= tags
    looks = [event.value for event in board.Scalars("evaluation/train")]
    assert looks == pytest.approx([each["train"] for each in result["convergence"]["evaluations"]])
    assert called("policies", "show", str(folder / "policy.safetensors")) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["sha256"], shown["training_id"]) == (result["sha256"], "small")
    strategy, policy = str(folder / "strategy.yaml"), str(folder / "policy.safetensors")
    first = result["periods"]["validation"]["start"]
    assert called("backtest", strategy, "--policy", policy, "--start", first, "--end", "2012-12-31", "--json") == 0
    tested = json.loads(capsys.readouterr().out)
    assert tested["manifest"]["config"]["policies"][0]["sha256"] == result["sha256"]
    assert called("backtest", strategy) == 1
    assert "name its file with --policy" in capsys.readouterr().err
    assert called("train", written(here)) == 1
    assert "go on with --resume, or remove the folder" in capsys.readouterr().err


def interrupt_once(there: Callable[[], bool]) -> threading.Thread:
    """Send Ctrl-C to this process once a condition holds."""
    waiting = threading.Event()

    def wait() -> None:
        while not there():
            waiting.wait(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_ctrl_c_leaves_a_checkpoint_to_go_on_from(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = here / ".finagent" / "training" / "small" / "tensorboard"
    thread = interrupt_once(lambda: events.exists() and any(each.stat().st_size > 200 for each in events.iterdir()))
    assert called("train", written(here, episodes=0, steps=50_000_000)) == INTERRUPTED
    thread.join()
    assert "stopped; go on with: finagent train " in capsys.readouterr().err
    job = TrainingJob.of({**JOB, "episodes": 0, "steps": 50_000_000})
    session = Session(job)
    session.resume()
    stood = session.notes.last
    assert stood.steps > 0
    assert len(session.notes.examination.points) >= 1
    for progress in session.run(lambda: True):
        assert progress.steps == stood.steps + 2
    assert called("train", written(here, episodes=0, steps=40_000_000), "--resume") == 1
    assert "is of another job" in capsys.readouterr().err


def test_other_data_do_not_go_on_from_a_checkpoint(here: Path) -> None:
    session = Session(TrainingJob.of(JOB))
    for _ in session.run(lambda: True):
        pass
    other = Session(TrainingJob.of({**JOB, "data": {**JOB["data"], "symbols": ["AAPL", "IBM"]}}))
    with pytest.raises(InvalidData, match=r"is of another job"):
        other.resume()
    with pytest.raises(MissingData, match="there is no checkpoint"):
        Session(TrainingJob.of({**JOB, "name": "none"})).resume()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"confg": {}}, "unknown key 'confg', nearest is 'config'"),
        ({"rules": {"alow_short": True}}, "unknown key rules.'alow_short', nearest is 'allow_short'"),
        ({"config": {"algorithm": "TD4"}}, "TD4"),
        ({"config": {"gama": 0.9}}, "nearest is 'gamma'"),
        ({"data": {"providers": "sp500", "symbols": ["NOPE"]}}, "NOPE"),
        ({"data": {"providers": "sp500"}}, "closes only"),
        ({"name": "../up"}, "name"),
        ({"name": ".."}, "name"),
        ({"config": {"algorithm": "ppo", "num_envs": 0}}, "config.num_envs"),
        ({"episodes": 0}, "name the steps or the episodes"),
    ],
)
def test_a_wrong_file_is_named(
    here: Path, changed: dict[str, Any], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("train", written(here, **changed)) == 1
    assert why in capsys.readouterr().err


def test_the_shipped_example_is_a_training() -> None:
    job = TrainingJob.load(ROOT / "examples" / "train_td3.yaml")
    assert job.parts.train.panel.session_dates[0] == "2010-01-04"
    with pytest.raises(ConfigError, match="cannot be read"):
        TrainingJob.load(ROOT / "examples" / "none.yaml")


@pytest.mark.kafka
def test_actors_collect_over_kafka(
    here: Path, kafka_bootstrap: str, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(here, actors=1, streaming={"chunk_transitions": 100})
    where = ["--kafka", kafka_bootstrap, "--prefix", prefix]
    assert called("train", path) == 1
    assert "needs Kafka" in capsys.readouterr().err
    assert called("train", path, *where, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["status"], result["episodes_completed"] >= 12) == ("completed", True)
    assert len(result["convergence"]["evaluations"]) >= 2
    policy = here / ".finagent" / "training" / "small" / "policy.safetensors"
    assert called("policies", "publish", str(policy), *where) == 0
    assert "policy small is at version 1" in capsys.readouterr().out
    assert called("policies", "list", *where, "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["policy_id"], listed["version"], listed["algorithm"]) == ("small", 1, "TD3")
    assert result["sha256"].startswith(listed["sha256"])
