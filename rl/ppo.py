"""PPO: proximal policy optimisation (Schulman et al. 2017), with the clipped surrogate of its equation 7."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from rl.actor_critic import entropy, log_probabilities
from rl.on_policy import Batch, GaussianActorCritic, standardised
from rl.optimiser import Adam, limit

EPSILON = 1e-5
"""Adam's, as stable-baselines3 has it here."""


@dataclass
class Course:
    """What the gradient steps of one update tell, step by step."""

    log_ratios: list[Tensor] = field(default_factory=list)
    surrogates: list[Tensor] = field(default_factory=list)
    errors: list[Tensor] = field(default_factory=list)
    norms: list[Tensor] = field(default_factory=list)


class PPO(GaussianActorCritic):
    """Algorithm 1 of the paper: rollouts of all actors, then epochs of gradient steps on their minibatches."""

    def _optimiser(self) -> Adam:
        return Adam(self.network.parameters, self.config.learning_rate, eps=EPSILON)

    def learn(self, batch: Batch) -> dict[str, float]:
        """Go over a rollout's minibatches for some epochs."""
        old = log_probabilities(batch.actions, batch.mean, self.network.log_std)
        columns = (batch.inputs[0][0], batch.actions, old, batch.advantages, batch.returns)
        course = Course()
        for _ in range(self.config.n_epochs):
            order = torch.randperm(len(old), generator=self.generator).to(old.device)
            shuffled = [column[order] for column in columns]
            for start in range(0, len(old), self.config.batch_size):
                minibatch = slice(start, start + self.config.batch_size)
                self.differentiate(*(column[minibatch] for column in shuffled), course=course)
                course.norms.append(limit(self.network.gradients, self.config.max_grad_norm))
                self.optimiser.step(self.network.gradients)
                self.updates += 1
        return self._figures(course)

    def differentiate(
        self, observations: Tensor, actions: Tensor, old: Tensor, advantages: Tensor, returns: Tensor, *, course: Course
    ) -> None:
        """Write the gradients of the loss -surrogate + c1 value error^2 - c2 entropy (equation 9)."""
        network, config, size = self.network, self.config, len(old)
        advantages = standardised(advantages)
        inputs, mean_actions, values = network.forward(observations)

        log_ratio = log_probabilities(actions, mean_actions, network.log_std) - old
        ratio = log_ratio.exp()
        free = ratio * advantages
        clipped = ratio.clamp(1 - config.clip_range, 1 + config.clip_range) * advantages
        surrogate = torch.minimum(free, clipped)
        # Where the clipped term is the smaller one, nothing is gained by moving further.
        d_log_probability = torch.where(free > clipped, 0.0, free / -size)[:, None]

        inverse = torch.exp(-network.log_std)
        z = (actions - mean_actions) * inverse
        d_mean = d_log_probability * z * inverse
        d_log_std = (d_log_probability * (z * z - 1)).sum(0) - config.entropy_coefficient
        error = values - returns
        network.backward(inputs, d_mean, error * (2 * config.value_coefficient / size), d_log_std)

        course.log_ratios.append(log_ratio)
        course.surrogates.append(surrogate)
        course.errors.append(error)

    def _figures(self, course: Course) -> dict[str, float]:
        log_ratios = torch.cat(course.log_ratios)
        ratios = log_ratios.exp()
        return {
            "actor_loss": -float(torch.cat(course.surrogates).mean()),
            "critic_loss": float(torch.cat(course.errors).square().mean()),
            "entropy": float(entropy(self.network.log_std)),
            "approx_kl": float((ratios - 1 - log_ratios).mean()),
            "clip_fraction": float(((ratios - 1).abs() > self.config.clip_range).float().mean()),
            "grad_norm": float(torch.stack(course.norms).mean()),
        }
