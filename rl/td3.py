"""Twin delayed deep deterministic policy gradient: Fujimoto, van Hoof and Meger 2018, algorithm 1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rl.batch import Batch
from rl.off_policy import Kept, ReplayLearner
from rl.optimiser import Adam
from rl.policy import Policy


class TD3(ReplayLearner):
    """Two critics, of which targets take the smaller value; actor and targets learn every policy_delay steps."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        # Initialise critics Q1, Q2 and actor pi with random weights, and targets equal to them.
        self.actor = self.actor_of(self.layout.action_size)
        self.critics = self.critics_of(2)
        self.actor_target = self.actor_of(self.layout.action_size)
        self.critic_targets = self.critics_of(2)
        for networks, targets in ((self.actor, self.actor_target), (self.critics, self.critic_targets)):
            networks.draw(self.generator)
            targets.follow(networks, 1)
        self.actor_optimiser = Adam(self.actor.values, self.config.learning_rate)
        self.critic_optimiser = Adam(self.critics.values, self.config.learning_rate)
        self._noise = self.noise()

    def learn(self, batch: Batch) -> Tensor:
        """Do one gradient step; return the critics' errors, shape (batch, 2)."""
        # Update critics by the mean of (y - Qi(s, a))^2.
        errors = self.critic_gradient(batch, self.targets(batch), share=1)
        self.critic_optimiser.step(self.critics.gradients)
        if self.updates % self.config.policy_delay == 0:
            # Update pi by the deterministic policy gradient of Q1, then the target networks.
            self.policy_gradient(batch)
            self.actor_optimiser.step(self.actor.gradients)
            self.critic_targets.follow(self.critics, self.config.tau)
            self.actor_target.follow(self.actor, self.config.tau)
        return errors

    def targets(self, batch: Batch) -> Tensor:
        """Return y = r + gamma * min over i of Q'i(s', a'), where a' is the target actor's with clipped noise."""
        bound = self.config.noise_clip
        noise = self._noise.normal_(0, self.config.target_noise, generator=self.generator).clamp_(-bound, bound)
        action = self.actor_target.members[0].forward(batch.next_observations).tanh_().add_(noise).clamp_(-1, 1)
        values = self.criticise(torch.cat((batch.next_observations, action), 1), self.critic_targets)
        return self.bootstrap(batch, torch.minimum(*values))

    def policy(self) -> Policy:
        """Return the actor with noise for exploring."""
        return self.policy_of("tanh", self.config.exploration_noise)

    def parts(self) -> dict[str, Kept]:
        """Return by name all that has a state."""
        return {**super().parts(), "actor_target": self.actor_target}
