"""TD3, DDPG and SAC once more, by torch's autograd and Adam, written from the papers: the reference of the tests."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import nn

from rl.config import RLAlgorithm, RLConfiguration
from rl.off_policy import ReplayLearner
from rl.replay import Replay

Named = dict[str, torch.Tensor]


def network(sizes: tuple[int, ...], flat: np.ndarray) -> nn.Sequential:
    """Return a plain torch network with the weights of a flat vector, layer by layer (inputs, outputs) and bias."""
    layers: list[nn.Module] = []
    start = 0
    for inputs, outputs in pairwise(sizes):
        layer = nn.Linear(inputs, outputs, dtype=torch.float64)
        middle, end = start + inputs * outputs, start + (inputs + 1) * outputs
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(flat[start:middle].reshape(inputs, outputs).T.copy()))
            layer.bias.copy_(torch.from_numpy(flat[middle:end].copy()))
        layers += [layer, nn.ReLU()]
        start = end
    assert start == len(flat)
    return nn.Sequential(*layers[:-1])


def flat(networks: list[nn.Sequential], *, gradients: bool = False) -> np.ndarray:
    """Return weights or gradients in the order of the flat vector."""
    parts = []
    for one in networks:
        for layer in one:
            if isinstance(layer, nn.Linear):
                weight, bias = (layer.weight.grad, layer.bias.grad) if gradients else (layer.weight, layer.bias)
                assert weight is not None
                assert bias is not None
                parts += [weight.detach().T.flatten(), bias.detach()]
    return torch.cat(parts).numpy()


class Reference:
    """Learns as an algorithm does, from the same weights, rows and noise, with nothing by hand."""

    def __init__(self, learner: ReplayLearner, replay: Replay) -> None:
        self.config: RLConfiguration = learner.config
        self.layout, self.replay = learner.layout, replay
        state = learner.state()
        observations, actions, hidden = self.layout.observation_size, self.layout.action_size, self.config.net_arch
        self.sac = self.config.algorithm is RLAlgorithm.SAC
        count = 1 if self.config.algorithm is RLAlgorithm.DDPG else 2
        actor_sizes = (observations, *hidden, actions * (2 if self.sac else 1))
        critic_sizes = (observations + actions, *hidden, 1)

        def group(name: str, sizes: tuple[int, ...], members: int) -> list[nn.Sequential]:
            return [network(sizes, part) for part in np.split(state[f"{name}.values"], members)]

        self.actor = group("actor", actor_sizes, 1)
        self.critics = group("critics", critic_sizes, count)
        self.critic_targets = group("critic_targets", critic_sizes, count)
        self.actor_target = group("actor_target", actor_sizes, 1) if not self.sac else []
        self.log_temperature = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        if self.sac:
            with torch.no_grad():
                self.log_temperature.copy_(torch.from_numpy(state["log_temperature.values"]))
        self.optimisers = {
            name: torch.optim.Adam(parameters, self.config.learning_rate)
            for name, parameters in (
                ("actor", list(self.actor[0].parameters())),
                ("critics", [weight for critic in self.critics for weight in critic.parameters()]),
                ("temperature", [self.log_temperature]),
            )
        }
        self.generator = torch.Generator()
        self.generator.set_state(torch.from_numpy(state["generator"]))
        self.updates = 0
        self.losses: dict[str, float] = {}

    def step(self) -> None:
        """Do one gradient step."""
        config, layout = self.config, self.layout
        self.updates += 1
        rows = np.empty((config.batch_size, layout.width), np.float32)
        drawn = self.replay.sample(rows)
        if config.normalize_observations:
            held = self.replay.rows[:, layout.observation].astype(np.float64)
            mean, std = held.mean(0).astype(np.float32), np.sqrt(held.var(0) + 1e-8).astype(np.float32)
            for columns in (layout.observation, layout.next_observation):
                rows[:, columns] = np.clip((rows[:, columns] - mean) / std, -10, 10)
        batch = torch.from_numpy(rows).double()
        observations, action = batch[:, layout.observation], batch[:, layout.action]
        temperature = self.log_temperature.detach().exp()
        with torch.no_grad():
            later = batch[:, layout.next_observation]
            following, bonus = self._following(later, temperature)
            values = torch.cat([q(torch.cat((later, following), 1)) for q in self.critic_targets], 1)
            goes_on = 1 - batch[:, layout.terminated]
            target = batch[:, layout.reward] + config.gamma * goes_on * (values.min(1).values + bonus)
        errors = [q(torch.cat((observations, action), 1))[:, 0] - target for q in self.critics]
        weights = torch.ones_like(target) if drawn.weights is None else torch.from_numpy(drawn.weights).double()
        loss = torch.stack([(weights * error.square()).mean() for error in errors]).sum() * (0.5 if self.sac else 1)
        self._descend("critics", loss)
        largest = torch.stack(errors).detach().abs().amax(0)
        self.replay.revise(drawn, largest.float().numpy())
        if self.updates % config.policy_delay == 0:
            self._descend("actor", self._actor_loss(observations, temperature))
            if self.sac and config.entropy_temperature is None:
                goal = -layout.action_size if config.target_entropy is None else config.target_entropy
                self._descend("temperature", -(self.log_temperature * (self.log_probability + goal).detach()).mean())
            if not self.sac:
                self._follow(self.actor, self.actor_target)
        if self.sac or self.updates % config.policy_delay == 0:
            self._follow(self.critics, self.critic_targets)

    def _following(self, later: torch.Tensor, temperature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the next actions, and what is added to their values."""
        zeros = torch.zeros(len(later), dtype=torch.float64)
        if self.sac:
            action, log_probability = self._draw(later)
            return action, -temperature * log_probability
        action = self.actor_target[0](later).tanh()
        if self.config.algorithm is RLAlgorithm.TD3:
            noise = torch.empty_like(action).normal_(0, self.config.target_noise, generator=self.generator)
            action = (action + noise.clamp(-self.config.noise_clip, self.config.noise_clip)).clamp(-1, 1)
        return action, zeros

    def _draw(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_std = self.actor[0](observations).chunk(2, 1)
        normal = torch.distributions.Normal(mean, log_std.clamp(-20, 2).exp())
        free = mean + normal.stddev * torch.empty_like(mean).normal_(generator=self.generator)
        action = free.tanh()
        return action, (normal.log_prob(free) - torch.log(1 - action.square() + 1e-6)).sum(1)

    def _actor_loss(self, observations: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
        if not self.sac:
            action = self.actor[0](observations).tanh()
            return -self.critics[0](torch.cat((observations, action), 1)).mean()
        action, self.log_probability = self._draw(observations)
        values = torch.cat([q(torch.cat((observations, action), 1)) for q in self.critics], 1)
        return (temperature * self.log_probability - values.min(1).values).mean()

    def _descend(self, name: str, loss: torch.Tensor) -> None:
        optimiser = self.optimisers[name]
        optimiser.zero_grad()
        inputs = [weight for group in optimiser.param_groups for weight in group["params"]]
        loss.backward(inputs=inputs)
        if self.config.max_grad_norm and name != "temperature":
            nn.utils.clip_grad_norm_(inputs, self.config.max_grad_norm)
        optimiser.step()
        self.losses[name] = loss.item()

    def _follow(self, networks: list[nn.Sequential], targets: list[nn.Sequential]) -> None:
        with torch.no_grad():
            for one, target in zip(networks, targets, strict=True):
                for weight, slow in zip(one.parameters(), target.parameters(), strict=True):
                    slow.copy_((1 - self.config.tau) * slow + self.config.tau * weight)
