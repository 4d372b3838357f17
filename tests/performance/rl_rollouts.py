"""PPO and A2C beside stable-baselines3: environment steps per second, and what they learn of Pendulum-v1."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import product
from statistics import median
from typing import Any

import stable_baselines3 as sb3
import torch
from gymnasium.vector import VectorEnv
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecNormalize

from rl.config import RLConfiguration
from rl.rewards import LogReturn
from rl.rules import TradingRules
from rl.training import Training
from rl.vector_env import VectorTradingEnv
from tests.performance.pendulum import PeerEnvs, VectorPendulum
from tests.performance.rl_updates import Row, examined
from tests.performance.trading_env import market

PEER = "stable-baselines3"
OURS = "fp32"
ALGORITHMS = ("PPO", "A2C")
LESSONS: dict[str, tuple[int, dict[str, Any]]] = {
    # steps, settings: as rl-baselines3-zoo has them, but for its state-dependent exploration (gSDE)
    "PPO": (100_000, {"num_envs": 4, "n_steps": 1024, "gamma": 0.9, "learning_rate": 1e-3}),
    "A2C": (
        600_000,
        {
            "num_envs": 8,
            "n_steps": 8,
            "gamma": 0.9,
            "gae_lambda": 0.9,
            "value_coefficient": 0.4,
            "learning_rate": 2e-3,
            "reward_scale": 0.1,
        },
    ),
}
"""What both are taught with on Pendulum-v1."""


def peer(config: RLConfiguration, envs: VectorEnv[Any, Any, Any]) -> Any:
    """Return stable-baselines3's algorithm with the same settings as ours."""
    vector: Any = PeerEnvs(envs, config.reward_scale)
    if config.normalize_observations:
        vector = VecNormalize(vector, norm_reward=False)
    settings: dict[str, Any] = {}
    if config.algorithm == "PPO":
        settings = {"batch_size": config.batch_size, "n_epochs": config.n_epochs, "clip_range": config.clip_range}
    else:
        settings = {"normalize_advantage": True}
    model = getattr(sb3, config.algorithm)(
        "MlpPolicy",
        vector,
        learning_rate=config.learning_rate,
        n_steps=config.n_steps,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        ent_coef=config.entropy_coefficient,
        vf_coef=config.value_coefficient,
        max_grad_norm=config.max_grad_norm,
        policy_kwargs={"net_arch": list(config.net_arch)},
        seed=config.seed,
        device="cpu",
        **settings,
    )
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def environments(name: str, count: int) -> VectorEnv[Any, Any, Any]:
    """Return what is stepped: "pendulum" or "trading" (four instruments, episodes of a year)."""
    if name == "pendulum":
        return VectorPendulum(count)
    return VectorTradingEnv(market(), TradingRules(episode_steps=252), LogReturn(), count)


def steps(
    rounds: int = 5,
    algorithms: Sequence[str] = ALGORITHMS,
    names: Sequence[str] = ("pendulum", "trading"),
    counts: Sequence[int] = (8, 64),
    length: int = 2**14,
) -> list[Row]:
    """Return environment steps per second of one thread, learning included, ours and the peer's, rounds interleaved.

    ours and sb3 are by the process's own time, *_clock by the clock's: medians over rounds of so many steps. Both have
    the same environment in numpy, network, batch size, n_steps and n_epochs: the defaults of each algorithm.
    """
    rows: list[Row] = []
    for algorithm, name, count in product(algorithms, names, counts):
        config = RLConfiguration(algorithm=algorithm, num_envs=count)
        (ours, clock), (theirs, their_clock) = _interleaved(
            (_own_rounds(config, name, length), _peer_rounds(config, name, length)), rounds
        )
        told: Row = {"algorithm": algorithm, "environment": name, "num_envs": count, "ours": ours, "sb3": theirs}
        rows.append({**told, "ratio": ours / theirs, "ours_clock": clock, "sb3_clock": their_clock})
    return rows


def _interleaved(contenders: Sequence[Callable[[], int]], rounds: int) -> list[tuple[float, float]]:
    """Return each one's steps per second of CPU and of clock time; the first round warms up."""
    rates: list[list[tuple[float, float]]] = [[] for _ in contenders]
    for number in range(rounds + 1):
        for work, own in zip(contenders, rates, strict=True):
            cpu, wall = time.process_time(), time.perf_counter()
            done = work()
            if number:
                own.append((done / (time.process_time() - cpu), done / (time.perf_counter() - wall)))
    return [(median(cpu for cpu, _ in own), median(wall for _, wall in own)) for own in rates]


def _own_rounds(config: RLConfiguration, name: str, length: int) -> Callable[[], int]:
    training = Training(config, environments(name, config.num_envs), steps=2**62)
    running = training.run()

    def work() -> int:
        start = training.collector.steps
        while training.collector.steps < start + length:
            next(running)
        return training.collector.steps - start

    return work


def _peer_rounds(config: RLConfiguration, name: str, length: int) -> Callable[[], int]:
    model = peer(config, environments(name, config.num_envs))

    def work() -> int:
        torch.set_num_threads(1)
        start = model.num_timesteps
        model.learn(length, reset_num_timesteps=False)
        return int(model.num_timesteps - start)

    return work


def pendulum(seeds: int = 5, algorithms: Sequence[str] = ALGORITHMS, share: float = 1.0) -> list[Row]:
    """Return the mean return of 100 episodes on fixed seeds, for each seed of a training.

    share: how much of the steps is trained, to try it out.
    """
    rows: list[Row] = []
    for algorithm in algorithms:
        length, settings = LESSONS[algorithm]
        for seed in range(seeds):
            config = RLConfiguration(algorithm=algorithm, seed=seed, **settings)
            for what, taught in ((PEER, _taught_peer), (OURS, _taught)):
                began = time.perf_counter()
                act = taught(config, int(length * share))
                seconds = time.perf_counter() - began
                rows.append(
                    {"algorithm": algorithm, "what": what, "seed": seed, "mean": examined(act), "seconds": seconds}
                )
    return rows


def _taught(config: RLConfiguration, length: int) -> Callable[[Any], Any]:
    training = Training(config, VectorPendulum(config.num_envs), steps=length)
    for _ in training.run():
        pass
    return training.policy.act


def _taught_peer(config: RLConfiguration, length: int) -> Callable[[Any], Any]:
    torch.set_num_threads(1)
    envs = VectorPendulum(config.num_envs)
    model = peer(config, envs).learn(length)
    high: Any = envs.single_action_space
    return lambda observations: model.predict(observations, deterministic=True)[0] * high.high
