"""Trainings in one process: how long they go, and that a killed one goes on as if nothing had happened."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rl.config import RLConfiguration
from rl.training import Progress, Training
from streams.errors import ConfigError, InvalidData, MissingData
from tests.unit.rl import killed_training
from tests.unit.rl.lqr import VectorLQR

SMALL: dict[str, dict[str, Any]] = {
    "PPO": {"n_steps": 20, "batch_size": 16, "n_epochs": 2},
    "A2C": {"n_steps": 5},
    "TD3": {"batch_size": 8, "learning_starts": 10},
}
EACH = pytest.mark.parametrize("name", list(SMALL))
MOMENTS = ("between", *(str(sync) for sync in range(5, 9)))
"""In an update, and in each of the four fsyncs of the second save."""
PLACES = [*(f"{name}:{moment}" for name in ("PPO", "TD3") for moment in MOMENTS), "A2C:between", "SAC:between"]


def small(name: str, *, steps: int = 0, episodes: int = 0, envs: int = 2, **changes: Any) -> Training:
    config = RLConfiguration(algorithm=name, net_arch=(8,), num_envs=envs, **{**SMALL[name], **changes})
    return Training(config, VectorLQR(envs), steps=steps, episodes=episodes)


def kept(training: Training) -> dict[str, bytes]:
    """Return all that a training has learned and holds, as bytes."""
    arrays = {name: array.tobytes() for name, array in training.algorithm.state().items()}
    held = training.replay.digest().encode() if training.replay is not None else b""
    return {**arrays, "replay": held, "collector": str(training.collector.state()).encode()}


@EACH
@pytest.mark.parametrize("steps", [1, 99, 200])
def test_ends_with_the_round_that_reaches_its_steps(name: str, steps: int) -> None:
    training = small(name, steps=steps)
    seen = list(training.run())
    round_steps = seen[0].steps
    assert [progress.steps for progress in seen] == [round_steps * (n + 1) for n in range(len(seen))]
    assert seen[-2].steps < steps <= seen[-1].steps if len(seen) > 1 else steps <= round_steps
    assert training.done
    assert training.share == 1
    assert list(training.run()) == []


@EACH
def test_ends_with_the_round_that_reaches_its_episodes(name: str) -> None:
    training = small(name, episodes=7)
    seen = list(training.run())
    assert training.done_episodes == seen[-1].episodes == sum(len(progress.ended) for progress in seen)
    assert seen[-2].episodes < 7 <= seen[-1].episodes
    assert all(0 < episode.steps <= 20 and episode.reward < 0 for progress in seen for episode in progress.ended)


def test_episodes_are_counted_by_what_the_environment_said() -> None:
    training = small("A2C", steps=400)
    ended = [episode for progress in training.run() for episode in progress.ended]
    assert sum(episode.steps for episode in ended) <= 400
    assert sum(episode.steps for episode in ended) > 400 - 2 * 20


@pytest.mark.parametrize(("steps", "episodes"), [(0, 0), (-1, 5), (5, -1)])
def test_an_end_is_asked_for(steps: int, episodes: int) -> None:
    with pytest.raises(ConfigError, match="steps or the episodes"):
        small("PPO", steps=steps, episodes=episodes)


def test_another_number_of_environments_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_envs is 3, the environment has 2"):
        Training(RLConfiguration(algorithm="PPO", num_envs=3), VectorLQR(2), steps=5)


@EACH
def test_the_same_seed_gives_the_same_bits(name: str) -> None:
    one, same, other = (small(name, steps=200, seed=seed) for seed in (3, 3, 4))
    for training in (one, same, other):
        for _ in training.run():
            pass
    assert kept(one) == kept(same)
    assert one.policy.pack() == same.policy.pack() != other.policy.pack()


@pytest.mark.parametrize(("ratio", "updates"), [(1.0, 90), (0.5, 45), (2.0, 180)])
def test_updates_keep_their_ratio_to_steps(ratio: float, updates: int) -> None:
    training = small("TD3", steps=100, update_to_data=ratio)
    seen = list(training.run())
    assert seen[-1].updates == updates
    assert all(not progress.figures for progress in seen if progress.steps <= 10)


def test_the_first_steps_are_uniformly_random_and_later_ones_the_policys() -> None:
    training = small("TD3", steps=4_000, envs=20, learning_starts=2_000, update_to_data=0.001, exploration_noise=0.0)
    for _ in training.run():
        pass
    assert training.replay is not None
    drawn = training.replay.rows[:, training.collector.layout.action]
    assert drawn[:2_000].var() == pytest.approx(1 / 3, rel=0.05)
    assert np.abs(drawn[:2_000]).max() <= 1
    later = training.replay.rows[2_000:]
    mean = training.policy.act(later[:, training.collector.layout.observation]) / 1.5
    np.testing.assert_allclose(later[:, training.collector.layout.action], mean, atol=0.02)


@EACH
def test_nothing_of_how_torch_computes_stays_behind(name: str) -> None:
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    for _ in small(name, steps=80, threads=before[0] + 1, precision="auto").run():
        assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


@EACH
def test_resumed_goes_on_where_it_was_saved(name: str, tmp_path: Path) -> None:
    saved, resumed = small(name, steps=400), small(name, steps=400)
    running = saved.run()
    while next(running).steps < 200:
        pass
    saved.save(tmp_path)
    resumed.resume(tmp_path)
    assert kept(saved) == kept(resumed)
    assert (saved.done_episodes, saved.share) == (resumed.done_episodes, resumed.share)
    first = next(resumed.run())
    assert first.steps > saved.collector.steps
    assert first.episodes >= saved.done_episodes
    assert isinstance(saved.envs, VectorLQR)
    assert isinstance(resumed.envs, VectorLQR)
    assert resumed.envs.seeds != saved.envs.seeds  # the episodes are others than those at the start


def test_another_configuration_is_not_resumed(tmp_path: Path) -> None:
    saved = small("PPO", steps=40)
    list(saved.run())
    saved.save(tmp_path)
    with pytest.raises(InvalidData, match="another configuration"):
        small("PPO", steps=40, gamma=0.5).resume(tmp_path)
    elsewhere = small("PPO", steps=40, threads=2)
    elsewhere.resume(tmp_path)
    assert elsewhere.done


def test_there_must_be_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(MissingData):
        small("PPO", steps=40).resume(tmp_path)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of trainings that were killed."""
    folder = tmp_path_factory.mktemp("killed")
    subprocess.run([sys.executable, "-m", "tests.unit.rl.killed_training", folder, *PLACES], check=True, timeout=100)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Training, Path]]:
    """Return trainings that nothing came between, and their folders."""

    @cache
    def trained(name: str) -> tuple[Training, Path]:
        training, folder = killed_training.training(name), tmp_path_factory.mktemp(name)
        killed_training.proceed(training, folder)
        return training, folder

    return trained


@pytest.mark.parametrize("place", PLACES)
def test_killed_and_resumed_ends_with_the_same_bits(
    place: str, killed: Path, whole: Callable[[str], tuple[Training, Path]]
) -> None:
    name = place.split(":")[0]
    never_killed, folder = whole(name)
    resumed = killed_training.training(name)
    resumed.resume(killed / place)
    started = resumed.collector.steps
    assert 0 < started < killed_training.STEPS
    assert started % killed_training.SAVE_EVERY == 0
    killed_training.proceed(resumed, killed / place)
    assert kept(never_killed) == kept(resumed)
    assert never_killed.done_episodes == resumed.done_episodes
    assert {path.name for path in (killed / place).iterdir()} == {path.name for path in folder.iterdir()}


def test_progress_tells_of_its_round() -> None:
    progress = next(small("PPO", steps=40).run())
    assert isinstance(progress, Progress)
    assert (progress.steps, progress.updates) == (40, 6)  # 40 rows: minibatches of 16, 16 and 8, twice
    assert progress.figures["entropy"] > 0
