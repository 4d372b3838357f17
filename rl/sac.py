"""Soft actor-critic with a learned temperature: Haarnoja et al. 2018 (arXiv 1812.05905), algorithm 1."""

from __future__ import annotations

from math import log, pi
from typing import Any

import torch
from torch import Tensor

from rl.batch import Batch
from rl.networks import Vector
from rl.off_policy import Kept, ReplayLearner
from rl.optimiser import Adam, limit
from rl.policy import LOG_STD_RANGE, Policy

TINY = 1e-6
"""Keeps the logarithm of 1 - tanh(u)^2 finite."""


class SAC(ReplayLearner):
    """Two critics, a stochastic actor that is paid for entropy, and the temperature that it is paid at."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        # Initialise critics Q1, Q2 and policy pi; the target networks have the critics' weights.
        self.actor = self.actor_of(2 * self.layout.action_size)
        self.critics = self.critics_of(2)
        self.critic_targets = self.critics_of(2)
        self.actor.draw(self.generator)
        self.critics.draw(self.generator)
        self.critic_targets.follow(self.critics, 1)
        rate, target = self.config.learning_rate, self.config.target_entropy
        self.actor_optimiser = Adam(self.actor.values, rate)
        self.critic_optimiser = Adam(self.critics.values, rate)
        self.log_temperature = Vector(self.like.new_full((1,), log(self.config.entropy_temperature or 1)))
        self.temperature_optimiser = Adam(self.log_temperature.values, rate)
        self.target_entropy = -float(self.layout.action_size) if target is None else target
        self._noise = self.noise()

    def learn(self, batch: Batch) -> Tensor:
        """Do one gradient step; return the critics' errors, shape (batch, 2)."""
        temperature = self.log_temperature.values.exp()
        # Update the critics by half of the mean of (Qi(s, a) - y)^2: equation 5.
        errors = self.critic_gradient(batch, self.targets(batch, temperature), share=0.5)
        self.critic_optimiser.step(self.critics.gradients)
        if self.updates % self.config.policy_delay == 0:
            # Update the policy, then the temperature by log(alpha) * (entropy - target): equations 9 and 18.
            entropy = self.policy_gradient_at(batch, temperature)
            self.actor_optimiser.step(self.actor.gradients)
            if self.config.entropy_temperature is None:
                self.temperature_optimiser.step((entropy - self.target_entropy).view(1))
        self.critic_targets.follow(self.critics, self.config.tau)
        return errors

    def targets(self, batch: Batch, temperature: Tensor) -> Tensor:
        """Return y = r + gamma * (min over i of Q'i(s', a') - alpha * log pi(a' | s')), a' drawn from the policy."""
        action, log_probability, _, _ = self.draw(batch.next_observations)
        values = self.criticise(torch.cat((batch.next_observations, action), 1), self.critic_targets)
        return self.bootstrap(batch, torch.minimum(*values) - temperature * log_probability)

    def draw(self, observations: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw a = tanh(mean + std * noise); return a, log pi(a | s), std * noise, and where std was not clipped.

        All have shape (n, actions) but the log probability, (n, 1); it counts the tanh: appendix C, equation 26.
        """
        mean, free = torch.chunk(self.actor.members[0].forward(observations), 2, 1)
        log_std = free.clamp(*LOG_STD_RANGE)
        noise = self._noise.normal_(generator=self.generator)
        spread = log_std.exp() * noise
        action = torch.tanh(mean + spread)
        density = noise.square().mul_(-0.5) - log_std - torch.log(1 + TINY - action * action)
        return action, density.sum(1, keepdim=True) - 0.5 * log(2 * pi) * action.shape[1], spread, log_std == free

    def policy_gradient_at(self, batch: Batch, temperature: Tensor) -> Tensor:
        """Write the gradient of the mean of alpha * log pi(a | s) - min over i of Qi(s, a); return the entropy."""
        action, log_probability, spread, free = self.draw(batch.observations)
        one, two = self.criticise(torch.cat((batch.observations, action), 1), self.critics)
        smaller, size = torch.minimum(one, two), len(action)
        by_action = torch.zeros_like(action)
        for critic, counts in zip(self.critics.members, (one <= two, one > two), strict=True):
            by_input = critic.input_gradient(counts * (-1 / size))
            by_action += by_input[:, self.layout.observation_size :]
        slope = 1 - action * action  # of the tanh
        by_mean = slope * (by_action + temperature * (2 / size) * action / (slope + TINY))
        by_log_std = (by_mean * spread - temperature / size) * free
        self.actor.members[0].differentiate(torch.cat((by_mean, by_log_std), 1))
        norm = limit(self.actor.gradients, self.config.max_grad_norm)
        entropy = -log_probability.mean()
        loss = -temperature[0] * entropy - smaller.mean()
        self.means.add(actor_loss=loss, actor_grad_norm=norm, entropy=entropy, temperature=temperature[0])
        return entropy

    def policy(self) -> Policy:
        """Return the actor; it explores by drawing."""
        return self.policy_of("squashed_gaussian", 0.0)

    def parts(self) -> dict[str, Kept]:
        """Return by name all that has a state."""
        temperature: dict[str, Kept] = {
            "log_temperature": self.log_temperature,
            "temperature_optimiser": self.temperature_optimiser,
        }
        return {**super().parts(), **temperature}
