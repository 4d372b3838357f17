"""What TD3, DDPG and SAC share: batches of the replay buffer, critics and their loss, states."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from rl.algorithm import Figures, OffPolicy
from rl.batch import Batch, Means
from rl.config import RLConfiguration
from rl.networks import Networks
from rl.normaliser import Normaliser
from rl.optimiser import Adam, limit
from rl.policy import Head, Policy
from rl.precision import device_of, kernel
from rl.replay import Replay
from rl.rows import Float32, Layout
from rl.weights import Arrays
from streams.errors import InvalidData


class Kept(Protocol):
    """What has a state."""

    def state(self) -> Arrays:
        """Return it."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take it back."""


class ReplayLearner(OffPolicy):
    """An actor and critics that learn from a replay buffer, in torch; gradients are by hand, so nothing is recorded.

    dtype is float32 but in tests of the gradients.
    """

    actor: Networks
    actor_optimiser: Adam
    critics: Networks
    critic_targets: Networks
    critic_optimiser: Adam

    def __init__(
        self,
        config: RLConfiguration,
        layout: Layout,
        low: Float32,
        high: Float32,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(config, layout, low, high)
        device = device_of(config)
        self.like = torch.empty(0, dtype=dtype, device=device)
        """Has the type and the device of all tensors."""
        self.kernel = kernel(config, dtype)
        """What hidden layers multiply by."""
        self.generator = torch.Generator(device).manual_seed(config.seed)
        self.normaliser = Normaliser(layout.observation_size) if config.normalize_observations else None
        self.batch = Batch(layout, config.batch_size, like=self.like, normaliser=self.normaliser)
        self.means = Means()
        self._seen = 0

    def actor_of(self, outputs: int) -> Networks:
        """Return an actor with so many outputs; its weights are not drawn yet."""
        sizes = (self.layout.observation_size, *self.config.net_arch, outputs)
        return Networks(1, sizes, like=self.like, kernel=self.kernel)

    def critics_of(self, count: int) -> Networks:
        """Return critics; their weights are not drawn yet."""
        sizes = (self.layout.observation_size + self.layout.action_size, *self.config.net_arch, 1)
        return Networks(count, sizes, like=self.like, kernel=self.kernel)

    def noise(self) -> Tensor:
        """Return an empty tensor of the batch's actions."""
        return self.like.new_empty(self.config.batch_size, self.layout.action_size)

    def update(self, replay: Replay, steps: int) -> Figures:
        """Do gradient steps on batches of the buffer; return the means of their figures."""
        self._see(replay)
        self.means = Means()
        with torch.inference_mode():  # gradients are by hand: torch need not follow
            for _ in range(steps):
                self.updates += 1
                self.batch.draw(replay)
                errors = self.learn(self.batch)
                if self.batch.weights is not None:
                    replay.revise(self.batch.drawn, errors.abs().amax(1).float().cpu().numpy())
            return self.means.figures()

    @abstractmethod
    def learn(self, batch: Batch) -> Tensor:
        """Do one gradient step; return the critics' errors, shape (batch, critics)."""

    def _see(self, replay: Replay) -> None:
        if self.normaliser is not None:
            self.normaliser.add(replay.since(self._seen)[:, self.layout.observation])
        self._seen = replay.inserted

    def criticise(self, observations_actions: Tensor, critics: Networks) -> list[Tensor]:
        """Return what each critic says of actions, each of shape (batch, 1)."""
        return [critic.forward(observations_actions) for critic in critics.members]

    def bootstrap(self, batch: Batch, next_values: Tensor) -> Tensor:
        """Return r + gamma * (1 - terminated) * value of what comes next, shape (batch, 1)."""
        goes_on = torch.rsub(batch.terminated, 1)
        return torch.addcmul(batch.rewards, goes_on, next_values, value=self.config.gamma)

    def critic_gradient(self, batch: Batch, targets: Tensor, share: float) -> Tensor:
        """Write the gradient of share * sum over critics of the mean squared error; return the errors (batch, critics).

        Rows count by the batch's weights where it has them.
        """
        values = torch.cat(self.criticise(batch.observations_actions, self.critics), 1)
        errors = values - targets
        weighed = errors if batch.weights is None else errors * batch.weights
        slopes = weighed * (2 * share / len(errors))
        for number, critic in enumerate(self.critics.members):
            critic.differentiate(slopes[:, number : number + 1])
        norm = limit(self.critics.gradients, self.config.max_grad_norm)
        loss = torch.dot(errors.view(-1), slopes.view(-1)) / 2
        self.means.add(critic_loss=loss, q_mean=values.mean(), grad_norm=norm)
        self.means.add(q_max=_largest(values), reward_max=_largest(batch.rewards))
        return errors

    def policy_gradient(self, batch: Batch) -> None:
        """Write the actor's gradient of minus the mean of Q1(s, tanh(actor(s))): Silver et al. 2014, equation 9."""
        actor, critic = self.actor.members[0], self.critics.members[0]
        action = actor.forward(batch.observations).tanh_()
        value = critic.forward(torch.cat((batch.observations, action), 1))
        by_input = critic.input_gradient(torch.full_like(value, -1 / len(value)))
        by_action = by_input[:, self.layout.observation_size :]
        actor.differentiate(by_action * (1 - action * action))
        norm = limit(self.actor.gradients, self.config.max_grad_norm)
        self.means.add(actor_loss=-value.mean(), actor_grad_norm=norm)

    def values(self, observations: Float32) -> Float32:
        """Return the smallest critic's value of the policy's best actions, shape (n,), in scaled rewards."""
        normal = observations if self.normaliser is None else self.normaliser.normalise(observations)
        seen = torch.from_numpy(np.ascontiguousarray(normal)).to(self.like)
        action = self.actor.members[0].forward(seen)[:, : self.layout.action_size].tanh()
        values = self.criticise(torch.cat((seen, action), 1), self.critics)
        found: Float32 = torch.cat(values, 1).amin(1).float().cpu().numpy()
        return found

    def policy_of(self, head: Head, noise: float) -> Policy:
        """Return the actor as a policy; on the CPU it shares weights and normalisation."""
        normal = self.normaliser
        return Policy(
            self.config.algorithm,
            self.actor.members[0].arrays(),
            self.low,
            self.high,
            head=head,
            noise=noise,
            mean=None if normal is None else normal.mean,
            std=None if normal is None else normal.std,
        )

    def parts(self) -> dict[str, Kept]:
        """Return by name all that has a state."""
        parts: dict[str, Kept] = {
            "actor": self.actor,
            "actor_optimiser": self.actor_optimiser,
            "critics": self.critics,
            "critic_targets": self.critic_targets,
            "critic_optimiser": self.critic_optimiser,
        }
        return parts if self.normaliser is None else {**parts, "normaliser": self.normaliser}

    def state(self) -> Arrays:
        """Return all that training goes on from."""
        arrays = {f"{name}.{key}": array for name, part in self.parts().items() for key, array in part.state().items()}
        arrays["generator"] = self.generator.get_state().numpy().copy()
        arrays["counts"] = np.array([self.updates, self._seen], np.int64)
        return arrays

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a state back; raise InvalidData where it does not fit."""
        try:
            for name, part in self.parts().items():
                prefix = f"{name}."
                part.restore({key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)})
            self.updates, self._seen = (int(count) for count in state["counts"])
            self._restore_generator(torch.from_numpy(state["generator"].copy()))
        except KeyError as error:
            raise InvalidData(f"the state of {self.config.algorithm} has no {error}") from error

    def _restore_generator(self, state: Tensor) -> None:
        """Take random numbers up; on another kind of device they start anew, from the seed and the updates."""
        if state.shape == self.generator.get_state().shape:
            self.generator.set_state(state)
        else:
            self.generator.manual_seed((self.config.seed + self.updates) % 2**63)


def _largest(tensor: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(tensor, torch.inf)
    return norm
