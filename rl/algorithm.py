"""What every algorithm offers to those that collect, train and keep it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from rl.config import RLAlgorithm, RLConfiguration
from rl.policy import Policy
from rl.replay import Replay
from rl.rows import Float32, Layout
from rl.weights import Arrays
from streams.errors import ConfigError

Figures = Mapping[str, float]
"""What an update tells of itself, by name: actor_loss, critic_loss, q_mean, entropy, explained_variance, grad_norm."""


class Algorithm(ABC):
    """An actor, what criticises it, and their optimisers.

    Algorithms see rows as rl.rows lays them out, with actions in [-1, 1]; low and high are the bounds that the policy
    scales to, shape (actions,).
    """

    def __init__(self, config: RLConfiguration, layout: Layout, low: Float32, high: Float32) -> None:
        self.config = config
        self.layout = layout
        self.low = low
        self.high = high
        self.updates = 0
        """Gradient steps so far."""

    @abstractmethod
    def policy(self) -> Policy:
        """Return the actor as it is; on the CPU it shares the weights and so follows them: copy it to keep it."""

    @abstractmethod
    def values(self, observations: Float32) -> Float32:
        """Return what acting by the policy is worth, as the critics see it, shape (n,), in scaled rewards."""

    @abstractmethod
    def state(self) -> Arrays:
        """Return all that training goes on from: weights, optimisers, random state, normalisation, counters."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a state back; raise InvalidData where it does not fit."""


class OffPolicy(Algorithm):
    """An algorithm that learns from a replay buffer."""

    @abstractmethod
    def update(self, replay: Replay, steps: int) -> Figures:
        """Do gradient steps on batches of the buffer; return the means of their figures."""


class OnPolicy(Algorithm):
    """An algorithm that learns from what its present policy has just done."""

    @abstractmethod
    def update(self, rollout: Float32) -> Figures:
        """Learn from rows of shape (steps, environments, width), in the order of their time."""


_HOMES = {
    RLAlgorithm.TD3: ("rl.td3", "TD3"),
    RLAlgorithm.DDPG: ("rl.ddpg", "DDPG"),
    RLAlgorithm.SAC: ("rl.sac", "SAC"),
    RLAlgorithm.PPO: ("rl.ppo", "PPO"),
    RLAlgorithm.A2C: ("rl.a2c", "A2C"),
}


def make(config: RLConfiguration, layout: Layout, low: Float32, high: Float32) -> Algorithm:
    """Return a fresh algorithm; raise ConfigError where torch is not installed or the device is not there."""
    module, name = _HOMES[config.algorithm]
    try:
        found = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ConfigError("training needs torch: pip install 'finagent-orchestration[rl]'") from error
    algorithm: Algorithm = found(config, layout, np.asarray(low, np.float32), np.asarray(high, np.float32))
    return algorithm
