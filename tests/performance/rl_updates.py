"""TD3, SAC and DDPG beside stable-baselines3: gradient steps per second, and what 20,000 steps of Pendulum-v1 teach.

python -m tests.performance.rl_updates [updates] [pendulum] [--seeds N] [--rounds N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import mean, median
from typing import Any

import gymnasium
import numpy as np
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import NormalActionNoise

from rl.algorithm import OffPolicy, make
from rl.config import RLConfiguration
from rl.precision import computing
from rl.replay import replay_of
from rl.rows import Layout
from rl.training import Training

Row = dict[str, str | float]
Steps = Callable[[int], None]
ALGORITHMS = ("TD3", "SAC", "DDPG")
ENVIRONMENT = "Pendulum-v1"
STEPS = 20_000
EPISODES = 100
FIRST_SEED = 10_000
"""Of the evaluation episodes, which are the same for all."""
PEER = "stable-baselines3"
WARM_UP = 50
"""Gradient steps before a measurement."""
PRECISIONS = ("fp32", "auto")


def updates(rounds: int = 7, steps: int = 100, algorithms: Sequence[str] = ALGORITHMS) -> list[Row]:
    """Return gradient steps per second of one thread, ours and the peer's, rounds of so many steps interleaved.

    ours and sb3 are by the process's own time, *_clock by the clock's: medians over the rounds.
    """
    rows: list[Row] = []
    for algorithm in algorithms:
        contenders: dict[str, Steps] = {"sb3": _peer_steps(algorithm)}
        contenders |= {precision: _own_steps(algorithm, precision) for precision in PRECISIONS}
        taken = _interleaved(contenders, rounds, steps)
        peer, peer_clock = taken.pop("sb3")
        for precision, (ours, clock) in taken.items():
            told: Row = {"algorithm": algorithm, "precision": precision, "ours": ours, "sb3": peer}
            rows.append({**told, "ratio": ours / peer, "ours_clock": clock, "sb3_clock": peer_clock})
    return rows


def _interleaved(contenders: dict[str, Steps], rounds: int, steps: int) -> dict[str, tuple[float, float]]:
    """Return the steps per second of CPU and of clock time of each contender."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for work in contenders.values():
        work(WARM_UP)
    for _ in range(rounds):
        for name, work in contenders.items():
            cpu, wall = time.process_time(), time.perf_counter()
            work(steps)
            taken[name].append((steps / (time.process_time() - cpu), steps / (time.perf_counter() - wall)))
    return {name: (median(cpu for cpu, _ in rates), median(wall for _, wall in rates)) for name, rates in taken.items()}


def _own_steps(algorithm: str, precision: Any) -> Steps:
    config = RLConfiguration(algorithm=algorithm, precision=precision)
    env = gymnasium.make(ENVIRONMENT)
    layout = Layout(env.observation_space.shape[0], env.action_space.shape[0])
    learner = make(config, layout, env.action_space.low, env.action_space.high)
    assert isinstance(learner, OffPolicy)
    replay = replay_of(config, layout)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(STEPS, layout.width)).astype(np.float32)
    rows[:, layout.terminated :] = 0
    replay.add(rows)

    def steps(count: int) -> None:
        with computing(config):
            learner.update(replay, count)

    return steps


def _peer_steps(algorithm: str) -> Steps:
    model = peer(algorithm, seed=0)
    model.learn(model.learning_starts + WARM_UP)

    def steps(count: int) -> None:
        torch.set_num_threads(1)
        model.train(gradient_steps=count, batch_size=model.batch_size)

    return steps


def peer(algorithm: str, seed: int) -> Any:
    """Return stable-baselines3's algorithm with the same settings as ours: network, batch, noise, rates, ratio."""
    config = RLConfiguration(algorithm=algorithm)
    settings: dict[str, Any] = {}
    if algorithm != "SAC":
        size = gymnasium.make(ENVIRONMENT).action_space.shape[0]
        settings["action_noise"] = NormalActionNoise(np.zeros(size), np.full(size, config.exploration_noise))
    model = getattr(sb3, algorithm)(
        "MlpPolicy",
        ENVIRONMENT,
        learning_rate=config.learning_rate,
        buffer_size=STEPS,
        learning_starts=config.learning_starts,
        batch_size=config.batch_size,
        tau=config.tau,
        gamma=config.gamma,
        train_freq=1,
        gradient_steps=1,
        policy_kwargs={"net_arch": list(config.net_arch)},
        seed=seed,
        device="cpu",
        **settings,
    )
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def pendulum(
    seeds: int = 5, algorithms: Sequence[str] = ALGORITHMS, contenders: Sequence[str] = (PEER, "fp32")
) -> list[Row]:
    """Return the mean return of 100 episodes on fixed seeds after 20,000 steps, for each seed of a training."""
    return list(lessons(seeds, algorithms, contenders))


def lessons(seeds: int, algorithms: Sequence[str], contenders: Sequence[str]) -> Iterator[Row]:
    """Yield the same as each training ends."""
    for seed in range(seeds):
        for algorithm in algorithms:
            for what in contenders:
                began = time.perf_counter()
                act = _taught_peer(algorithm, seed) if what == PEER else _taught(algorithm, what, seed)
                seconds = time.perf_counter() - began
                yield {"algorithm": algorithm, "what": what, "seed": seed, "mean": examined(act), "seconds": seconds}


def _taught(algorithm: str, precision: Any, seed: int) -> Callable[[Any], Any]:
    config = RLConfiguration(algorithm=algorithm, precision=precision, seed=seed)
    envs = gymnasium.make_vec(
        ENVIRONMENT,
        1,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP},
    )
    training = Training(config, envs, steps=STEPS)
    for _ in training.run():
        pass
    return training.policy.act


def _taught_peer(algorithm: str, seed: int) -> Callable[[Any], Any]:
    torch.set_num_threads(1)
    model = peer(algorithm, seed).learn(STEPS)
    return lambda observations: model.predict(observations, deterministic=True)[0]


def examined(act: Callable[[Any], Any]) -> float:
    """Return the mean return of the evaluation episodes."""
    envs = [gymnasium.make(ENVIRONMENT) for _ in range(EPISODES)]
    observations = np.stack([env.reset(seed=FIRST_SEED + n)[0] for n, env in enumerate(envs)])
    total = 0.0
    done = False
    while not done:
        stepped = [env.step(action) for env, action in zip(envs, act(observations.astype(np.float32)), strict=True)]
        observations = np.stack([one[0] for one in stepped])
        total += sum(float(one[1]) for one in stepped)
        done = stepped[0][3]
    return total / EPISODES


def _line(row: Row) -> str:
    return "  ".join(f"{value:>10.2f}" if isinstance(value, float) else f"{value:>10}" for value in row.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["updates", "pendulum"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS)
    parser.add_argument("--contenders", nargs="+", default=[PEER, "fp32"], help=f"of Pendulum: {PEER}, fp32, auto")
    given = parser.parse_args()
    if "updates" in given.parts:
        for row in updates(given.rounds, algorithms=given.algorithms):
            print(_line(row), flush=True)
    if "pendulum" not in given.parts:
        return
    scores: dict[str, list[float]] = {}
    for row in lessons(given.seeds, given.algorithms, given.contenders):
        print(_line(row), flush=True)
        scores.setdefault(f"{row['algorithm']} {row['what']}", []).append(float(row["mean"]))
    for name, found in scores.items():
        print(f"{name}: mean over {len(found)} seeds {mean(found):.1f}, worst {min(found):.1f}")


if __name__ == "__main__":
    main()
