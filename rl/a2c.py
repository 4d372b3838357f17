"""A2C: advantage actor-critic (Mnih et al. 2016, algorithm S3), its workers in step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rl.actor_critic import entropy, log_probabilities
from rl.networks import copy_into
from rl.on_policy import Batch, GaussianActorCritic, standardised
from rl.optimiser import limit
from rl.weights import Arrays

DECAY, EPSILON = 0.99, 1e-5
"""RMSProp's, as stable-baselines3 has them."""


class RMSProp:
    """RMSProp with shared statistics (section 4 of the paper)."""

    def __init__(self, parameters: Tensor, learning_rate: float) -> None:
        self.parameters = parameters
        self.learning_rate = learning_rate
        self._squares = torch.zeros_like(parameters)

    def step(self, gradient: Tensor) -> None:
        """Do a step against the gradient."""
        self._squares.mul_(DECAY).addcmul_(gradient, gradient, value=1 - DECAY)
        self.parameters.addcdiv_(gradient, self._squares.sqrt().add_(EPSILON), value=-self.learning_rate)

    def state(self) -> Arrays:
        """Return the running mean of squared gradients."""
        return {"squares": self._squares.cpu().numpy().copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take it back; raise InvalidData where it does not fit."""
        copy_into(self._squares, state["squares"])


class A2C(GaussianActorCritic):
    """One gradient step on all that the workers did in their last few steps.

    Advantages are standardised, as with PPO; the paper and the default of stable-baselines3 leave them as they are.
    """

    def _optimiser(self) -> RMSProp:
        return RMSProp(self.network.parameters, self.config.learning_rate)

    def learn(self, batch: Batch) -> dict[str, float]:
        """Do a step on a whole rollout."""
        network, config, size = self.network, self.config, len(batch.values)
        advantages = standardised(batch.advantages)
        log_probability = log_probabilities(batch.actions, batch.mean, network.log_std)
        d_log_probability = advantages[:, None] / -size  # of -mean(advantage log pi)
        inverse = torch.exp(-network.log_std)
        z = (batch.actions - batch.mean) * inverse
        d_mean = d_log_probability * z * inverse
        d_log_std = (d_log_probability * (z * z - 1)).sum(0) - config.entropy_coefficient
        error = batch.values - batch.returns
        network.backward(batch.inputs, d_mean, error * (2 * config.value_coefficient / size), d_log_std)

        figures = {
            "actor_loss": -float((advantages * log_probability).mean()),
            "critic_loss": float(error.square().mean()),
            "entropy": float(entropy(network.log_std)),
            "grad_norm": float(limit(network.gradients, config.max_grad_norm)),
        }
        self.optimiser.step(network.gradients)
        self.updates += 1
        return figures
