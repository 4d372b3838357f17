"""Trainings that kill -9 themselves: python -m tests.unit.rl.killed_training FOLDER PLACE ...

A place is ALGORITHM:MOMENT; its checkpoints go to FOLDER/PLACE. Moments: between, in an update between two saves; or
the number of the fsync that the process does not live through (a save does four).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from rl.config import RLConfiguration
from rl.training import Training
from tests.unit.rl.lqr import VectorLQR

ENVS, STEPS, EPISODE = 2, 280, 20
SAVE_EVERY = ENVS * EPISODE
"""Each save falls on the end of an episode, and each episode starts at the same place: resumed or not is the same."""
SHAPES: dict[str, dict[str, Any]] = {
    "PPO": {"n_steps": EPISODE, "batch_size": 16, "n_epochs": 2},
    "A2C": {"n_steps": EPISODE // 4},
    "TD3": {"batch_size": 16, "learning_starts": 30, "buffer_size": 150, "update_to_data": 0.25},
    "SAC": {"batch_size": 16, "learning_starts": 30, "buffer_size": 150, "update_to_data": 0.25, "prioritized": True},
}


def training(name: str) -> Training:
    """Return the training of an algorithm, from its start."""
    config = RLConfiguration(
        algorithm=name, net_arch=(8,), num_envs=ENVS, seed=5, normalize_observations=True, **SHAPES[name]
    )
    return Training(config, VectorLQR(ENVS, steps=EPISODE, spread=0), steps=STEPS)


def proceed(running: Training, folder: Path) -> None:
    """Train to the end, saving on the way."""
    for progress in running.run():
        if progress.steps % SAVE_EVERY == 0:
            running.save(folder)


def kill() -> None:
    """End this process as kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def die(running: Training, moment: str, folder: Path) -> None:
    """Train until killed."""
    if moment == "between":
        learn: Any = running.algorithm.update

        def update(*given: Any) -> Any:
            figures = learn(*given)
            if running.collector.steps > 5.2 * SAVE_EVERY:
                kill()
            return figures

        running.algorithm.update = update  # type: ignore[attr-defined]
    else:
        left, sync = int(moment), os.fsync

        def fsync(file: int) -> None:
            nonlocal left
            left -= 1
            if not left:
                kill()
            sync(file)

        os.fsync = fsync
    proceed(running, folder)


def main(folder: Path, places: list[str]) -> None:
    """Fork a process for each place, and see it die."""
    for place in places:
        name, moment = place.split(":")
        running = training(name)  # before the fork: torch is loaded once
        child = os.fork()
        if not child:
            die(running, moment, folder / place)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            sys.exit(f"{place} ended with {status}, and was to be killed")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
