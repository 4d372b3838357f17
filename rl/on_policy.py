"""What PPO and A2C share: a Gaussian actor beside a critic, and what a rollout says to them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from rl.actor_critic import ActorCritic
from rl.advantages import advantages
from rl.algorithm import Figures, OnPolicy
from rl.config import RLConfiguration
from rl.networks import copy_into
from rl.normaliser import Normaliser
from rl.policy import Policy
from rl.precision import device_of
from rl.rows import Float32, Layout
from rl.weights import Arrays, part_of
from streams.errors import InvalidData


class Optimiser(Protocol):
    """Changes parameters in place by their gradients."""

    def step(self, gradient: Tensor) -> None:
        """Do a step against the gradient."""

    def state(self) -> Arrays:
        """Return what it keeps between steps."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take that back."""


@dataclass(frozen=True)
class Batch:
    """A rollout as tensors; steps and environments in one axis of length B."""

    inputs: list[Tensor]
    """Each layer's inputs (2, B, n); the first are the observations."""
    actions: Tensor
    """(B, actions)."""
    mean: Tensor
    """The mean actions that the policy had, (B, actions)."""
    values: Tensor
    """(B,)."""
    advantages: Tensor
    """(B,)."""
    returns: Tensor
    """Advantages plus values, (B,)."""

    def figures(self) -> dict[str, float]:
        """Return explained_variance: the share of the returns' variance that the critic foresaw."""
        spread = self.returns.var(correction=0)
        missed = self.advantages.var(correction=0)  # returns less values
        return {"explained_variance": float(1 - missed / spread) if spread > 0 else 0.0}


class GaussianActorCritic(OnPolicy):
    """An on-policy algorithm with a Gaussian actor and a critic of the same shape."""

    dtype = torch.float32

    def __init__(self, config: RLConfiguration, layout: Layout, low: Float32, high: Float32) -> None:
        super().__init__(config, layout, low, high)
        self.generator = torch.Generator().manual_seed(config.seed)
        sizes = layout.observation_size, layout.action_size, config.net_arch
        self.network = ActorCritic(*sizes, self.generator, device_of(config), self.dtype)
        self.normaliser = Normaliser(layout.observation_size) if config.normalize_observations else None
        self.optimiser = self._optimiser()

    @abstractmethod
    def _optimiser(self) -> Optimiser:
        """Return the optimiser of the network's parameters."""

    @abstractmethod
    def learn(self, batch: Batch) -> dict[str, float]:
        """Do the gradient steps on a rollout; return their figures."""

    @torch.inference_mode()
    def update(self, rollout: Float32) -> Figures:
        """Learn from rows of shape (steps, environments, width), in the order of their time.

        The policy acted by the figures of observations as they were, so a rollout changes them only once it is learned
        from; but the first one does so before, as a fresh actor with its small gain hardly heeds what it sees.
        Raises InvalidData for a number that is not finite.
        """
        if not np.isfinite(rollout).all():
            raise InvalidData("a transition has a number that is not finite")
        first = not self.updates
        if first:
            self._look(rollout)
        batch = self.batch(rollout)
        figures = {**self.learn(batch), **batch.figures()}
        if not first:
            self._look(rollout)
        return {**figures, "reward_max": float(np.abs(rollout[:, :, self.layout.reward]).max())}

    def policy(self) -> Policy:
        return self._policy if self.config.device == "cpu" else self._take_policy()

    @cached_property
    def _policy(self) -> Policy:
        return self._take_policy()

    def _take_policy(self) -> Policy:
        return Policy(
            algorithm=self.config.algorithm,
            layers=tuple((weight.cpu().numpy(), bias.cpu().numpy()) for weight, bias in self.network.layers()),
            low=self.low,
            high=self.high,
            head="gaussian",
            activation="tanh",
            log_std=self.network.log_std.cpu().numpy(),
            mean=self.normaliser.mean if self.normaliser else None,
            std=self.normaliser.std if self.normaliser else None,
        )

    def values(self, observations: Float32) -> Float32:
        found: Float32 = self.network.forward(self._seen(observations))[2].cpu().numpy()
        return found

    def _seen(self, observations: Float32) -> Tensor:
        normal = self.normaliser.normalise(observations) if self.normaliser else np.ascontiguousarray(observations)
        return torch.from_numpy(normal).to(self.network.parameters)

    def batch(self, rollout: Float32) -> Batch:
        """Return what a rollout says, its values and mean actions found in one pass."""
        columns, steps = self.layout, rollout.shape[:2]
        size = steps[0] * steps[1]
        seen, after = rollout[:, :, columns.observation], rollout[:, :, columns.next_observation]
        # A step's next observation is the next step's own, unless an episode ended between them.
        apart = (after[:-1] != seen[1:]).any(axis=2)
        every = np.concatenate([seen.reshape(size, -1), after[-1], after[:-1][apart]])
        inputs, mean, values = self.network.forward(self._seen(every))
        found_values = values.cpu().numpy()
        now, later = found_values[:size].reshape(steps), np.empty(steps, np.float32)
        later[:-1], later[-1] = now[1:], found_values[size : size + steps[1]]
        later[:-1][apart] = found_values[size + steps[1] :]
        found = advantages(
            rollout[:, :, columns.reward],
            now,
            later,
            terminated=rollout[:, :, columns.terminated] > 0,
            truncated=rollout[:, :, columns.truncated] > 0,
            gamma=self.config.gamma,
            gae_lambda=self.config.gae_lambda,
        )
        told = torch.from_numpy(found.reshape(-1)).to(values)
        actions = torch.from_numpy(rollout[:, :, columns.action].reshape(size, -1)).to(mean)
        return Batch([x[:, :size] for x in inputs], actions, mean[:size], values[:size], told, told + values[:size])

    def _look(self, rollout: Float32) -> None:
        """Take the rollout's observations into the running figures."""
        if self.normaliser:
            self.normaliser.add(rollout[:, :, self.layout.observation].reshape(-1, self.layout.observation_size))

    def state(self) -> Arrays:
        parts = {"optimiser": self.optimiser.state(), "normaliser": self.normaliser.state() if self.normaliser else {}}
        return {
            "updates": np.array([self.updates]),
            "parameters": self.network.parameters.cpu().numpy().copy(),
            "generator": self.generator.get_state().numpy(),
            **{f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        try:
            self.optimiser.restore(part_of(state, "optimiser."))
            if self.normaliser:
                self.normaliser.restore(part_of(state, "normaliser."))
            copy_into(self.network.parameters, state["parameters"])
            self.generator.set_state(torch.from_numpy(state["generator"]))
            self.updates = int(state["updates"].item())
        except (KeyError, RuntimeError, TypeError) as error:
            raise InvalidData(f"not a state of {self.config.algorithm}: {error}") from error


def standardised(advantages: Tensor) -> Tensor:
    """Return advantages with mean 0 and standard deviation 1; a single one stays as it is."""
    if len(advantages) < 2:
        return advantages
    spread, mean = torch.std_mean(advantages)
    return (advantages - mean) / (spread + 1e-8)
