"""Deep deterministic policy gradient: Lillicrap et al. 2016, algorithm 1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rl.batch import Batch
from rl.off_policy import Kept, ReplayLearner
from rl.optimiser import Adam
from rl.policy import Policy


class DDPG(ReplayLearner):
    """One critic and a deterministic actor, with slowly following targets of both.

    Exploration is Gaussian, not the paper's Ornstein-Uhlenbeck process, and there is no weight decay: as others do now.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        # Randomly initialise critic Q and actor mu; initialise target networks Q' and mu' with their weights.
        self.actor = self.actor_of(self.layout.action_size)
        self.critics = self.critics_of(1)
        self.actor_target = self.actor_of(self.layout.action_size)
        self.critic_targets = self.critics_of(1)
        for networks, targets in ((self.actor, self.actor_target), (self.critics, self.critic_targets)):
            networks.draw(self.generator)
            targets.follow(networks, 1)
        self.actor_optimiser = Adam(self.actor.values, self.config.learning_rate)
        self.critic_optimiser = Adam(self.critics.values, self.config.learning_rate)

    def learn(self, batch: Batch) -> Tensor:
        """Do one gradient step; return the critic's errors, shape (batch, 1)."""
        # Update the critic by minimising the mean of (y - Q(s, a))^2.
        errors = self.critic_gradient(batch, self.targets(batch), share=1)
        self.critic_optimiser.step(self.critics.gradients)
        if self.updates % self.config.policy_delay == 0:
            # Update the actor by the sampled policy gradient, then the target networks.
            self.policy_gradient(batch)
            self.actor_optimiser.step(self.actor.gradients)
            self.critic_targets.follow(self.critics, self.config.tau)
            self.actor_target.follow(self.actor, self.config.tau)
        return errors

    def targets(self, batch: Batch) -> Tensor:
        """Return y = r + gamma * Q'(s', mu'(s')), shape (batch, 1)."""
        action = self.actor_target.members[0].forward(batch.next_observations).tanh_()
        (values,) = self.criticise(torch.cat((batch.next_observations, action), 1), self.critic_targets)
        return self.bootstrap(batch, values)

    def policy(self) -> Policy:
        """Return the actor with noise for exploring."""
        return self.policy_of("tanh", self.config.exploration_noise)

    def parts(self) -> dict[str, Kept]:
        """Return by name all that has a state."""
        return {**super().parts(), "actor_target": self.actor_target}
